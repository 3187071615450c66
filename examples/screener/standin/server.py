"""The stand-in under gunicorn: one worker process, so that there is one ledger, with many threads."""

# gunicorn ships no type information.
# mypy: disable-error-code="import-untyped, misc, no-any-unimported"

import os
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from .app import create_app
from .faults import FaultPlan

THREADS = 48
KEEP_ALIVE_SECONDS = 75


class _Server(BaseApplication):
    def __init__(self, options: dict[str, Any], faults: FaultPlan) -> None:
        self._options = options
        self._faults = faults
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._faults)


def serve(host: str, port: int, faults: FaultPlan, port_file: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        faults: The rules to start with.
        port_file: Where to write the port once requests are answered; it appears whole or not at all.
    """

    def announce(worker: Any) -> None:
        bound = worker.sockets[0].getsockname()[1]
        print(f"OpenAI stand-in: http://{host}:{bound}/v1", flush=True)
        if port_file:
            _write_whole(port_file, f"{bound}\n")

    options = {
        "bind": f"{host}:{port}",
        "worker_class": "gthread",
        "workers": 1,
        "threads": THREADS,
        "keepalive": KEEP_ALIVE_SECONDS,
        "timeout": 0,  # a restarted worker would have lost the ledger
        "graceful_timeout": 3,
        "loglevel": "warning",
        "control_socket_disable": True,
        "post_worker_init": announce,
    }
    _Server(options, faults).run()


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text)
    draft.replace(path)
