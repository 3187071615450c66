"""A real Jaeger, which `make tools` builds, with the configuration that operators get."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from tests.postgres import free_port
from tests.tools import program

SHIPPED = Path(__file__).parents[1] / "jaeger" / "jaeger.yaml"
"""The configuration that operators get."""


class Jaeger:
    """A Jaeger on free ports; it runs within its `with` block.

    There `kill` ends it by SIGKILL, and `start` starts it again with its traces.
    """

    def __init__(self) -> None:
        self._ports = {name: free_port() for name in ("otlp", "query", "query_grpc", "health")}
        self.place = f"127.0.0.1:{self._ports['otlp']}"
        """Where it receives OTLP over gRPC."""
        self.url = f"http://127.0.0.1:{self._ports['query']}"
        self._program = program("jaeger")
        self._directory = Path(tempfile.mkdtemp(prefix="jaeger-"))
        self._log = self._directory / "jaeger.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [str(self._program), f"--config={SHIPPED}"]
        settings = {
            "JAEGER_OTLP_PORT": str(self._ports["otlp"]),
            "JAEGER_QUERY_PORT": str(self._ports["query"]),
            "JAEGER_QUERY_GRPC_PORT": str(self._ports["query_grpc"]),
            "JAEGER_HEALTH_PORT": str(self._ports["health"]),
            "JAEGER_TRACES": str(self._directory),
        }
        env = {**os.environ, **settings}
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, cwd=self._directory, env=env, stdout=log, stderr=log)
        self._wait()

    def kill(self) -> None:
        """End it by SIGKILL; `start` starts it again."""
        self._process.kill()
        self._process.wait()

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        """Return a trace by its id in hexadecimal digits, or None if Jaeger does not have it."""
        try:
            found = self._get(f"/api/traces/{trace_id}")
        except HTTPError as error:
            if error.code != 404:
                raise
            return None
        return found[0] if found else None

    def services(self) -> list[str]:
        """Return the names of the services of which it has traces."""
        return self._get("/api/services") or []

    def _get(self, path: str) -> Any:
        with urlopen(f"{self.url}{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    def _wait(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                urlopen(f"http://127.0.0.1:{self._ports['health']}/status", timeout=5).close()
                self.services()
                return
            except (OSError, URLError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"Jaeger did not start: {self._log.read_text()[-2000:]}") from error
                time.sleep(0.05)
