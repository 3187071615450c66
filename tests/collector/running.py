"""The real Collector with our configuration, as a process."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.collector.messages import Request as OtlpRequest
from tests.postgres import free_port
from tests.tools import program

FOLDER = Path(__file__).parents[2] / "collector"
BASE = ("collector.yaml", "redaction.yaml")
SHIPPED = (*BASE, "prometheus.yaml", "jaeger.yaml")
PORTS = ("COLLECTOR_GRPC_PORT", "COLLECTOR_HTTP_PORT", "COLLECTOR_HEALTH_PORT", "COLLECTOR_METRICS_PORT")
PATIENCE = 120
"""Seconds after which something is taken not to happen; a busy machine takes its time."""


def ask(command: str, *layers: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the Collector, such as `validate`, on layers of configuration."""
    return subprocess.run(
        [program("otelcol"), *command.split(), *_configuration(layers)],
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )


def effective(*layers: str, **settings: str) -> dict[str, Any]:
    """Return the configuration that the Collector makes of its layers."""
    done = ask("print-config --format json --mode unredacted", *layers, **settings)
    assert done.returncode == 0, done.stderr
    configuration: dict[str, Any] = json.loads(done.stdout)
    return configuration


class RunningCollector:
    """A Collector on free ports, with its queues in `folder`; it runs within its `with` block.

    There `kill` ends it by SIGKILL, and `start` starts it again with its queues.
    """

    def __init__(self, folder: Path, *layers: str, **settings: str) -> None:
        self.ports = {name: int(settings.get(name) or free_port()) for name in PORTS}
        self.url = f"http://127.0.0.1:{self.ports['COLLECTOR_HTTP_PORT']}"
        self.health = f"http://127.0.0.1:{self.ports['COLLECTOR_HEALTH_PORT']}"
        self._log = folder / "otelcol.log"
        self._command = [str(program("otelcol")), *_configuration(layers or BASE)]
        self._environment = {
            "COLLECTOR_QUEUES": str(folder / "queues"),
            "COLLECTOR_SPAN_METRICS_INTERVAL": "1s",
            **{name: str(port) for name, port in self.ports.items()},
            **settings,
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        self._wait()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()

    def send(self, signal: str, request: OtlpRequest) -> None:
        """Send by OTLP; it returns once the Collector has accepted the data."""
        self.post(f"/v1/{signal}", request.SerializeToString())

    def post(self, path: str, body: bytes) -> None:
        """Post a body of OTLP."""
        headers = {"Content-Type": "application/x-protobuf"}
        urlopen(Request(f"{self.url}{path}", body, headers), timeout=PATIENCE).close()

    def metrics(self) -> str:
        """Return the page of its own metrics."""
        page = f"http://127.0.0.1:{self.ports['COLLECTOR_METRICS_PORT']}/metrics"
        with urlopen(page, timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
        return text

    def log(self) -> str:
        """Return what it has logged since the first start."""
        return self._log.read_text()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urlopen(f"{self.health}/", timeout=5).close()
                return
            except (OSError, URLError):
                assert self._process.poll() is None and time.monotonic() < deadline, self.log()
                time.sleep(0.05)


def _configuration(layers: tuple[str, ...]) -> list[str]:
    return [f"--config={FOLDER / layer}" for layer in layers]
