"""A local HTTP server with the paths of OpenAI and Azure, whose answers a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.local_server import Handler, LocalServer

Answer = tuple[int, dict[str, str], Any]
"""Status, headers and body; a body that is not bytes is sent as JSON."""


class Answering(LocalServer):
    """A server that runs within its `with` block; `bodies` has the bodies of the requests it received."""

    def __init__(self, answer: Callable[[dict[str, Any]], Answer]) -> None:
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class _Handler(Handler):
            def do_POST(self) -> None:
                received = json.loads(self.body() or b"{}")
                outer.bodies.append(received)
                status, headers, content = answer(received)
                sent = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"content-length": str(len(sent)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

        super().__init__(_Handler)
