"""The programs of docker-compose.yml as processes of this machine, from the same files and settings.

Only the addresses are others.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console

from examples.screener.demo.service import FAULTS, Service
from examples.screener.demo.steps import Steps
from examples.screener.demo.submission import Submission, Submitted
from examples.screener.standin.client import StandIn
from exporters.assets.targets import with_targets
from telemetry.settings import Settings
from tests import runs
from tests.alertmanager import RunningAlertmanager
from tests.collector.running import RunningCollector
from tests.end_to_end.processes import ROOT, Process
from tests.end_to_end.stack import Stack
from tests.jaeger import Jaeger
from tests.postgres import TemporaryPostgres, free_port
from tests.prometheus import SHIPPED, Prometheus
from tests.stack import files
from tests.tools import program
from tools.compose.prometheus import SOURCE

NOT_HERE: Final = (
    "COLLECTOR_HOST",
    "COLLECTOR_MEMORY_PERCENT",
    "COLLECTOR_QUEUE_BYTES",
    "GOMEMLIMIT",
    "TELEMETRY_SPOOL_DIR",
)
"""Settings of containers alone: their addresses, limits and folders."""
PLACES: Final = ("--config.file", "--storage.tsdb.path", "--web.console.templates", "--web.external-url")
"""Flags with paths and addresses of containers."""
PASSWORDS: Final = {"SCREENER_PASSWORD": "screener", "DASHBOARDS_PASSWORD": "grafana"}
"""Known to everybody: the data are those of the demo, and gone at the end."""


class Local:
    """Everything but Grafana, of which there is no program to build; it runs within its `with` block."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="stack-", dir=runs.folder()))
        folder.chmod(0o711)
        self.folder = folder
        """Where logs, spool and queues are; it is deleted at the end."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self.postgres = stack.enter_context(TemporaryPostgres())
        self.standin = stack.enter_context(StandIn(FAULTS))
        self.database_url = self.postgres.create_database()
        self.alertmanager = stack.enter_context(self._new_alertmanager())
        metrics = free_port()
        self.prometheus = stack.enter_context(self._new_prometheus(f"127.0.0.1:{metrics}"))
        self.jaeger = stack.enter_context(Jaeger())
        self.collector = stack.enter_context(self._new_collector(metrics))
        settings = self.settings("app")
        self.app = stack.enter_context(Stack(self.folder, self.database_url, self.standin, **settings))
        self._install()
        self.app.web("--threads", "4")
        self.app.worker()

    def _new_alertmanager(self) -> RunningAlertmanager:
        file = SHIPPED / "alertmanager" / "alertmanager.yml"
        return RunningAlertmanager("", configuration=file.read_text(), program=program("alertmanager"))

    def _new_prometheus(self, collector: str) -> Prometheus:
        settings = Settings(alertmanager_targets=(self.alertmanager.place,), collector_targets=(collector,))
        prometheus = Prometheus(
            program=program("prometheus"),
            configuration=with_targets(SOURCE.read_text(), settings),
            arguments=tuple(flag for flag in _command("prometheus") if flag.partition("=")[0] not in PLACES),
        )
        (prometheus.folder / "rules").symlink_to(SHIPPED / "rules")
        return prometheus

    def _new_collector(self, metrics: int) -> RunningCollector:
        layers = [Path(flag.partition("=")[2]).name for flag in _command("collector")]
        settings = {
            "COLLECTOR_METRICS_PORT": str(metrics),
            "COLLECTOR_SPAN_METRICS_INTERVAL": "15s",
            **self.settings("collector"),
        }
        return RunningCollector(self.folder, *layers, **settings)

    def _install(self) -> None:
        """Create tables, users and the role of dashboards, as the service `migrate` does."""
        env = self.app.environment(**PASSWORDS, TELEMETRY_ENABLED="false")
        command = [sys.executable, *files.services()["migrate"]["command"][1:]]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def addresses(self) -> dict[str, str]:
        """Return the addresses of services in docker-compose.yml, with those of the same programs here."""
        found = {
            "prometheus:9090": self.prometheus.url.removeprefix("http://"),
            "alertmanager:9093": self.alertmanager.place,
        }
        if hasattr(self, "jaeger"):
            found["jaeger:4317"] = self.jaeger.place
        if hasattr(self, "collector"):
            found["collector:4318"] = self.collector.url.removeprefix("http://")
        return found

    def settings(self, service: str) -> dict[str, str]:
        """Return the environment of a service with the addresses here, without the database and secrets."""
        return {
            name: replaced(value, self.addresses())
            for name, value in files.environment(service).items()
            if name.startswith(("COLLECTOR_", "OTEL_", "TELEMETRY_")) and name not in NOT_HERE
        }

    def submit(self) -> list[Submitted]:
        """Submit the two analyses of the demo, and wait for them."""
        self._await_app()
        with Steps(Console(highlight=False)) as steps:
            return Submission(
                self.app.url, Service(), steps, self.check, PASSWORDS["SCREENER_PASSWORD"]
            ).perform()

    def check_day(self) -> None:
        """Do the daily check, as the service for it does when it starts."""
        words = ["flask", "telemetry", "health-check", "--notify"]
        env = self.app.environment(FLASK_APP="examples.screener.wsgi")
        log = self.folder / "daily-check.log"
        assert Process("daily-check", words, env, log).wait() == 0, log.read_text()

    def check(self) -> None:
        """Check that application and worker run.

        Raises:
            RuntimeError: one has ended; the message has the end of its log.
        """
        for process in self.app.processes.values():
            if not process.is_running:
                raise RuntimeError(f"{process.name} has ended:\n{process.text()[-2000:]}")

    def _await_app(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.check()
            try:
                self.app.client()
                return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError("the application does not answer")

    def summary(self) -> str:
        """Return where everything is, a line each."""
        reader = self.database_url.replace("+psycopg2", "").replace("postgres@", "grafana:grafana@")
        lines: Mapping[str, Any] = {
            "Application": f"{self.app.url}   user@example.com or admin@…, password screener",
            "Traces": f"{self.jaeger.url}/api/traces?service=screener",
            "Metrics and alerts": f"{self.prometheus.url}/api/v1/alerts",
            "Notifications": f"{self.alertmanager.url}/api/v2/alerts",
            "OTLP over HTTP": self.collector.url,
            "SQL as Grafana": reader,
            "Logs": self.folder,
        }
        return "\n".join(
            ["Everything is healthy:", *(f"  {name:20} {value}" for name, value in lines.items())]
        )


def replaced(text: str, addresses: Mapping[str, str]) -> str:
    """Return a text with other addresses."""
    for old, new in addresses.items():
        text = text.replace(old, new)
    return text


def _command(service: str) -> list[str]:
    found: list[str] = files.services()[service]["command"]
    return found
