"""A real Jaeger, which `make tools` builds, with its traces in a folder."""

from __future__ import annotations

import json
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

CONFIGURATION = """\
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}, traces: {{level: none}}}}
extensions:
  healthcheckv2: {{use_v2: true, http: {{endpoint: "127.0.0.1:{health}"}}}}
  jaeger_query:
    storage: {{traces: disk}}
    http: {{endpoint: "127.0.0.1:{query}"}}
    grpc: {{endpoint: "127.0.0.1:{query_grpc}"}}
  jaeger_storage:
    backends:
      disk:
        badger: {{ephemeral: false, directories: {{keys: "{folder}/keys", values: "{folder}/values"}}}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{otlp}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: disk}}
"""


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
        file = self._directory / "jaeger.yaml"
        file.write_text(CONFIGURATION.format(**self._ports, folder=self._directory))
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [str(self._program), f"--config={self._directory / 'jaeger.yaml'}"]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, cwd=self._directory, stdout=log, stderr=log)
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
