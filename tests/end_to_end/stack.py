"""The whole system as real processes: gunicorn with two workers and the worker, on one database."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from examples.screener.auth import PASSWORD, USER_EMAIL
from examples.screener.client import ScreenerClient
from examples.screener.standin.client import StandIn
from tests.end_to_end.metrics import Metrics
from tests.end_to_end.processes import Process, environment

Row = dict[str, Any]

SECRET = "for tests only"
WEB_WORKERS = 2
TAIL = 4000
"""Characters of a log that a failed test shows."""

UNSETTLED = """
    SELECT COUNT(*) FROM telemetry_runs WHERE status = 'running'
       OR (analysis_ref IS NOT NULL AND NOT analysis_gone AND projected_version < version)
"""


class NotInTime(AssertionError):
    """Something that was waited for did not come."""


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise NotInTime(f"after {seconds:g} s still not: {what}")
        time.sleep(0.05)
    return found


class Stack:
    """The screener in front of a stand-in, started with `web()` and `worker()`; leaving it ends everything.

    Args:
        folder: Where spool and logs go.
        database_url: The host's database, which has its tables.
        standin: The service it calls; the ledger is the stand-in's own.
        settings: Further environment variables of all processes.
    """

    running: list[Stack] = []
    """The stacks that are open, so that a failed test can show their logs."""

    def __init__(self, folder: Path, database_url: str, standin: StandIn, **settings: str) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.database_url = database_url
        self.standin = standin
        self.settings = settings
        self.processes: dict[str, Process] = {}
        self.engine = sa.create_engine(database_url, poolclass=sa.NullPool)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[ScreenerClient] = []

    def __enter__(self) -> Self:
        self.running.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self.running.remove(self)
        for client in self._clients:
            client.close()
        for process in self.processes.values():
            process.kill()
        self._listener.close()
        self.engine.dispose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def web(self, *, timeout: int = 600, workers: int = WEB_WORKERS, **settings: str) -> Process:
        """Start the app under gunicorn. Requests wait in the listening socket until it is ready."""
        descriptor = self._listener.fileno()
        options = ["--bind", f"fd://{descriptor}", "--workers", str(workers), "--timeout", str(timeout)]
        command = ["gunicorn", *options, "--no-control-socket", "examples.screener.wsgi:app"]
        return self._start("web", command, settings, (descriptor,))

    def worker(self, **settings: str) -> Process:
        """Start the process that works on large analyses."""
        return self._start("worker", ["examples.screener.worker", "--poll", "0.05"], settings)

    def stop(self) -> None:
        """End app and worker in good order, as a deployment does."""
        for process in self.processes.values():
            process.stop()

    def client(self) -> ScreenerClient:
        """A user who has signed in."""
        client = ScreenerClient(self.url, timeout=110)
        self._clients.append(client)
        client.login(USER_EMAIL, PASSWORD)
        return client

    def settle(self, seconds: float = 30.0) -> None:
        """Wait until everything that ended stands in SQL, on the rows of the host too."""
        wait_until("the spool is empty", lambda: not self.spooled(), seconds)
        wait_until("the rows show every run", lambda: not self.value(UNSETTLED), seconds)
        wait_until("the user's row shows the spend", self._is_user_current, seconds)

    def spooled(self) -> list[Path]:
        """The snapshots that wait for the database, of living and of dead processes."""
        return [path for path in self.spool.glob("*/*/*.json") if not path.name.startswith(".")]

    def snapshots(self) -> list[Row]:
        """What those say; one that was delivered meanwhile is left out."""
        return [json.loads(text) for path in self.spooled() if (text := _text_of(path))]

    def metrics(self) -> Metrics:
        """The metrics of all living processes, added up."""
        return Metrics.scrape(int(port.read_text()) for port in self.spool.glob("*/*/metrics-port"))

    def rows(self, query: str, **values: object) -> list[Row]:
        """The rows a query finds."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def row(self, query: str, **values: object) -> Row:
        """The one row a query finds."""
        rows = self.rows(query, **values)
        assert len(rows) == 1, f"{len(rows)} rows: {query} {values}"
        return rows[0]

    def value(self, query: str, **values: object) -> Any:
        """The one value of the one row a query finds."""
        return next(iter(self.row(query, **values).values()))

    def runs(self, analysis: int | None = None, **values: str) -> list[Row]:
        """Rows of telemetry_runs, in the order of their start."""
        known = {"analysis_ref": analysis, **values} if analysis is not None else values
        where = " AND ".join(f"{name} = :{name}" for name in known) or "1 = 1"
        return self.rows(f"SELECT * FROM telemetry_runs WHERE {where} ORDER BY started_at, run_id", **known)

    def analysis(self, analysis: int) -> Row:
        """The row of an analysis."""
        return self.row("SELECT * FROM analyses WHERE id = :id", id=analysis)

    def user(self) -> Row:
        """The row of the user who signs in."""
        return self.row("SELECT * FROM users WHERE email = :email", email=USER_EMAIL)

    def logs(self) -> Iterator[tuple[str, str]]:
        """Name and end of each log."""
        for name, process in self.processes.items():
            yield f"{name} ({self.folder.name})", process.text()[-TAIL:]

    def _start(
        self, name: str, command: list[str], settings: dict[str, str], pass_fds: tuple[int, ...] = ()
    ) -> Process:
        env = environment(
            **{
                "OPENAI_API_KEY": "any",
                "OPENAI_BASE_URL": self.standin.url,
                "SCREENER_DATABASE_URL": self.database_url,
                "SCREENER_RETRY_PAUSE": "0.02",
                "SECRET_KEY": SECRET,
                "TELEMETRY_METRICS_PORT": "0",
                "TELEMETRY_SPOOL_DIR": str(self.spool),
                **self.settings,
                **settings,
            }
        )
        self.processes[name] = Process(name, command, env, self.folder / f"{name}.log", pass_fds)
        return self.processes[name]

    def _is_user_current(self) -> bool:
        user = self.user()
        spent = self.value("SELECT SUM(cost_pico) FROM telemetry_runs WHERE user_ref = :id", id=user["id"])
        return spent is None or round((user["total_api_spend"] or 0) * 10**12) == spent


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
