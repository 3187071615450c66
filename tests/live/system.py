"""The whole system, as operators run it: the example, PostgreSQL, and all that observes them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

from examples.screener.client import ScreenerClient
from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from tests import fresh
from tests.alertmanager import RunningAlertmanager
from tests.collector.running import SHIPPED, RunningCollector
from tests.end_to_end.documents import JD
from tests.end_to_end.processes import ROOT, STOPS_WITHIN, environment
from tests.end_to_end.stack import Stack
from tests.jaeger import Jaeger
from tests.live import compressed
from tests.live.history import History, zone
from tests.live.notifications import Notifications
from tests.notifications.shipped import receiving
from tests.postgres import TemporaryPostgres, free_port
from tests.postgres_exporter import PostgresExporter
from tests.prometheus import FLAGS, Prometheus, shipped
from tests.tools import program

SERVICE: Final = "screener"
THRESHOLDS: Final = {
    "TELEMETRY_ANOMALY_MIN_JOBS": "5",
    "TELEMETRY_FAILED_JOBS_MIN": "4",
    "TELEMETRY_INTERRUPTED_JOBS": "0",
    "TELEMETRY_LONGEST_RUN_SECONDS": "600",
    "TELEMETRY_NO_SUCCESS_SECONDS": "480",
    "TELEMETRY_RATE_LIMITED_JOBS": "1",
    "TELEMETRY_SLOW_STAGE_SECONDS": "0.5",
    "TELEMETRY_SPOOL_BACKLOG": "1",
    "TELEMETRY_STALE_SECONDS": "60",
}
"""What the host sets, so that less is enough; all other thresholds are the defaults."""
SETTINGS: Final = {
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_SERVICE_NAME": SERVICE,
    "SCREENER_APP_RETRIES": "1",
    "SCREENER_INSIGHTS": "0",
    "SCREENER_REQUEST_LIMIT": "2",
    "TELEMETRY_CHECKPOINT_SECONDS": "0.5",
    "TELEMETRY_GAUGES_SECONDS": "0.5",
    "TELEMETRY_HEARTBEAT_SECONDS": "1",
    "TELEMETRY_INTEGRITY_SECONDS": "2",
    "TELEMETRY_RUN_KINDS": "script",
}
COLLECTOR: Final = {
    "COLLECTOR_LONGEST_TRACE": f"{1800 // compressed.FACTOR}s",
    "COLLECTOR_OTHERS_PERCENT": "1",
    "COLLECTOR_QUEUE_BYTES": "3000000",
    "COLLECTOR_RETRY_LIMIT": "30s",
}
"""Small enough that a queue is full soon, and the shortest time after which a backend is given up."""
Rule = Mapping[str, Any]


class System:
    """Starts everything but the application's own processes, and stops everything it started."""

    def __init__(self, folder: Path, notifications: Notifications) -> None:
        """Prepare it.

        Args:
            folder: for the spool, the logs, queues and rules.
            notifications: receives what Alertmanager sends.
        """
        self.folder = folder
        self.assets = folder / "assets"
        self.notifications = notifications
        self._stack = ExitStack()
        self._faults: list[Rule] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self.postgres = stack.enter_context(TemporaryPostgres(durable=False))
        self.standin = stack.enter_context(StandIn())
        url = self.postgres.create_database()
        self.app = stack.enter_context(Stack(self.folder, url, self.standin))
        self.settings = {
            **SETTINGS,
            **THRESHOLDS,
            "TELEMETRY_TIMEZONE": zone(),
        }
        self._prepare(url)
        self.history = History(self.app.sql.engine)
        self.alertmanager = stack.enter_context(self._new_alertmanager())
        self.exporter = stack.enter_context(PostgresExporter(self.postgres.url(None)))
        metrics = free_port()
        self.prometheus = self._new_prometheus(f"127.0.0.1:{metrics}")
        self.jaeger = stack.enter_context(Jaeger())
        self.collector = stack.enter_context(
            RunningCollector(
                self.folder,
                *SHIPPED,
                COLLECTOR_METRICS_PORT=str(metrics),
                COLLECTOR_PROMETHEUS=self.prometheus.url,
                COLLECTOR_JAEGER=self.jaeger.place,
                **COLLECTOR,
            )
        )
        stack.enter_context(self.prometheus)  # the last, so that it finds all others
        self.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = self.collector.url
        self.app.settings.update(self.settings)

    def _prepare(self, url: str) -> None:
        """Create tables and users, and write the rules of the host's settings by the command for it."""
        set_up = {"SCREENER_DATABASE_URL": url, "SECRET_KEY": "set-up", "TELEMETRY_ENABLED": "false"}
        for command in ("init-db", "seed"):
            self._flask("--app", "examples.screener.wsgi", "screener", command, **set_up)
        migrate.upgrade(url)
        self._flask("telemetry", "assets", str(self.assets), **self.settings)

    def _flask(self, *words: str, **settings: str) -> None:
        done = fresh.run("-m", "flask", *words, cwd=ROOT, env=environment(**settings))
        assert done.returncode == 0, (words, done.stderr)

    def _new_alertmanager(self) -> RunningAlertmanager:
        self.alertmanager_configuration = compressed.routes(receiving())
        return RunningAlertmanager(
            self.notifications.url,
            configuration=self.alertmanager_configuration,
            program=program("alertmanager"),
        )

    def _new_prometheus(self, collector: str) -> Prometheus:
        place = self.alertmanager.url.removeprefix("http://")
        self.prometheus_configuration = (
            shipped(collector, place)
            .replace(f"{Path(__file__).parents[2] / 'prometheus'}/rules", "rules")
            .replace("evaluation_interval: 30s", "evaluation_interval: 1s")
            .replace("scrape_interval: 1s", "scrape_interval: 2s")
            .replace("scrape_timeout: 1s", "scrape_timeout: 2s")  # on a busy machine a second is short
        )
        prometheus = Prometheus(
            program=program("prometheus"),
            configuration=self.prometheus_configuration,
            arguments=(
                *FLAGS,
                f"--query.lookback-delta={compressed.LOOKBACK:g}s",
                "--rules.alert.resend-delay=1s",
            ),
        )
        for name, text in (
            *((f"rules/{path.name}", compressed.rules(path.read_text())) for path in self._rule_files()),
            ("scrape/postgres.yml", _scrape("postgres", self.exporter.place)),
        ):
            (prometheus.folder / name).parent.mkdir(exist_ok=True)
            (prometheus.folder / name).write_text(text)
        return prometheus

    def _rule_files(self) -> list[Path]:
        return sorted((self.assets / "prometheus" / "rules").glob("*.yml"))

    def start_application(self) -> None:
        """Start web and worker."""
        self.app.web("--threads", "8")
        self.app.worker()

    def draft(self, mark: str, resumes: int = 1) -> tuple[ScreenerClient, int]:
        """Have a user upload documents, in whose texts a mark stands, for rules of the stand-in."""
        client = self.app.client()
        number = client.create_draft(mark)
        name, text = JD
        client.upload_jd(number, name, text + f"\nReference: {mark}\n".encode())
        files = [(f"{each}.txt", f"Ada No. {each}\nReference: {mark}".encode()) for each in range(resumes)]
        client.upload_resumes(number, files)
        return client, number

    def flask(self, *words: str) -> None:
        """Run a command as an operator does, with the application's settings."""
        done = fresh.run(
            "-m", "flask", *words, cwd=ROOT, env=self.app.environment(FLASK_APP="examples.screener.wsgi")
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)

    def script(self, **settings: str) -> Script:
        """Return a script of the host; it runs within its `with` block."""
        return Script(self, settings)

    @contextmanager
    def faults(self, *rules: Rule) -> Iterator[None]:
        """Have the stand-in do what rules say, beside those of others, within the block."""
        self._change_faults(lambda known: [*known, *rules])
        try:
            yield
        finally:
            self._change_faults(lambda known: [rule for rule in known if rule not in rules])

    def _change_faults(self, change: Callable[[list[Rule]], list[Rule]]) -> None:
        with self._lock:
            self._faults = change(self._faults)
            self.standin.faults(self._faults)

    @property
    def libpq_url(self) -> str:
        """The URL of the application's database for libpq."""
        return self.postgres.url(None, self.app.database_url.rpartition("/")[2])

    def pending(self) -> set[str]:
        """Return the alerts that fire in Prometheus, or will if it goes on."""
        return {alert["labels"]["alertname"] for alert in self.prometheus.get("alerts")["alerts"]}


def _scrape(job: str, place: str) -> str:
    """Return a file of more to scrape, as docs/how-to/prometheus.md has it."""
    lines = [
        "scrape_configs:",
        f"  - job_name: {job}",
        # Without a database postgres_exporter waits for a second before it answers.
        "    scrape_interval: 3s",
        "    scrape_timeout: 3s",
        f'    static_configs: [{{targets: ["{place}"]}}]',
    ]
    return "".join(f"{line}\n" for line in lines)


class Script:
    """A script of the host, as a process that waits for commands; see `tests/live/script.py`."""

    def __init__(self, system: System, settings: Mapping[str, str]) -> None:
        self._environment = system.app.environment(**settings)
        self._log = system.folder / "script.log"

    def __enter__(self) -> Self:
        (stdin, to_it), (from_it, stdout) = os.pipe(), os.pipe()
        with self._log.open("ab") as log:
            files = {0: stdin, 1: stdout, 2: log.fileno()}
            self._child = fresh.start("-m", "tests.live.script", cwd=ROOT, env=self._environment, files=files)
        os.close(stdin)
        os.close(stdout)
        self._input, self._output = open(to_it, "w"), open(from_it)
        self.do("export")  # no increase sees what was counted before
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(BrokenPipeError):
            self._input.close()
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(STOPS_WITHIN if exception[0] is None else 0)
        self.kill()
        self._output.close()

    def do(self, command: str) -> None:
        """Do a command, and wait until it is done."""
        self._input.write(f"{command}\n")
        self._input.flush()
        answer = self._output.readline()
        assert answer == "done\n", (command, answer, self._log.read_text()[-2000:])

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._child.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL, also if it is stopped."""
        self._child.kill()
        self._child.wait()
