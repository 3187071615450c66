"""The whole system as real processes: gunicorn with two workers and the worker, on one database."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from examples.screener.auth import PASSWORD, USER_EMAIL
from examples.screener.client import ScreenerClient
from examples.screener.standin.client import StandIn
from tests.end_to_end.database import Database
from tests.end_to_end.metrics import Metrics
from tests.end_to_end.processes import Process, environment
from tests.spool import waiting
from tests.waiting import until

SECRET = "for tests only"
WEB_WORKERS = 2
TAIL = 4000
"""Number of characters at the end of a log that a failed test shows."""


class Stack:
    """The screener and a stand-in; `web()` and `worker()` start it, and leaving the block ends all processes.

    Args:
        folder: Where the spool and the logs are.
        database_url: The host's database, with its tables.
        standin: The service that the screener calls, with the ledger.
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
        self.sql = Database(database_url)
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
        self.sql.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def web(
        self,
        *more: str,
        timeout: int = 600,
        workers: int = WEB_WORKERS,
        preload: bool = False,
        **settings: str,
    ) -> Process:
        """Start the app under gunicorn, with further options. Requests wait in the socket meanwhile."""
        descriptor = self._listener.fileno()
        options = ["--bind", f"fd://{descriptor}", "--workers", str(workers), "--timeout", str(timeout)]
        options += ["--preload", *more] if preload else more
        command = ["gunicorn", *options, "--no-control-socket", "examples.screener.wsgi:app"]
        return self._start("web", command, settings, (descriptor,))

    def worker(self, **settings: str) -> Process:
        """Start the process that runs large analyses."""
        return self._start("worker", ["examples.screener.worker", "--poll", "0.05"], settings)

    def stop(self) -> None:
        """Stop app and worker by SIGTERM, as a deployment does."""
        for process in self.processes.values():
            process.stop()

    def client(self) -> ScreenerClient:
        """Return the client of a user who has signed in."""
        client = ScreenerClient(self.url, timeout=300)
        self._clients.append(client)
        client.login(USER_EMAIL, PASSWORD)
        return client

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until the database has all ended runs, and the host's rows show them."""
        until(lambda: not waiting(self.spool), seconds, what="the spool is empty")
        until(self.sql.is_delivered, seconds, what="every run has ended")
        until(self.sql.is_projected, seconds, what="the host's rows show every run")

    def metrics(self) -> Metrics:
        """Return the metrics of all running processes."""
        return Metrics.scrape(int(port.read_text()) for port in self.spool.glob("*/*/metrics-port"))

    def logs(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the end of each log, that of a Collector with the same folder included."""
        for log in sorted(self.folder.glob("*.log")):
            yield f"{log.stem} ({self.folder.name})", log.read_text(errors="replace")[-TAIL:]

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment of a process, with further settings."""
        return environment(
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

    def _start(
        self, name: str, command: list[str], settings: dict[str, str], pass_fds: tuple[int, ...] = ()
    ) -> Process:
        env = self.environment(**settings)
        self.processes[name] = Process(name, command, env, self.folder / f"{name}.log", pass_fds)
        return self.processes[name]
