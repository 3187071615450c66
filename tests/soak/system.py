"""The system under fire: a service with a ledger, a PostgreSQL, a spool, and processes that come and go."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters import migrate
from exporters.recovered import LOCK
from exporters.snapshot import Snapshot
from telemetry.settings import Settings
from tests.end_to_end.processes import ROOT, environment
from tests.postgres import TemporaryPostgres
from tests.soak.worker import USERS, user_of
from tests.spool import snapshots, waiting

FAULTS: list[dict[str, Any]] = [{"status": 429, "rate": 0.1, "retry_after_ms": 5}, {"delay_ms": 40}]
CHUNK = 60
"""Analyses that one process is given."""
SMALL_SPOOL = "6000"
"""Bytes of a spool that is soon full."""


@dataclass
class Job:
    """A process, and the analyses that were given to it."""

    process: subprocess.Popen[bytes]
    numbers: list[int]
    journal: Path
    has_small_spool: bool
    left: dict[str, Snapshot] = field(default_factory=dict)
    """What was in the spool of its runs when it was killed."""
    was_killed: bool = False

    @property
    def unopened(self) -> list[int]:
        """The analyses it did not come to."""
        opened = self._numbers("opened")
        return [number for number in self.numbers if number not in opened]

    @property
    def opening(self) -> set[int]:
        """The analyses whose runs it was opening, or had just opened, when it was killed."""
        return self._numbers("opening") - self._numbers("opened") if self.was_killed else set()

    def _numbers(self, event: str) -> set[int]:
        return {each["number"] for each in self.events() if each["event"] == event}

    def events(self) -> Iterator[dict[str, Any]]:
        """What it wrote down; the last line may be cut off."""
        for line in self.journal.read_text().splitlines() if self.journal.exists() else ():
            try:
                yield json.loads(line)
            except ValueError:
                return


class System:
    """Leaving it ends everything."""

    def __init__(self, folder: Path, analyses: int) -> None:
        self.folder = folder
        self.analyses = analyses
        self.postgres = TemporaryPostgres()
        self.standin = StandIn(FAULTS)
        url = self.postgres.create_database()
        self.settings = Settings(database_url=url, spool_dir=folder / "spool", hmac_key="soak")
        self.jobs: list[Job] = []
        self._ghosts: set[str] = set()

    def __enter__(self) -> Self:
        self.standin.start()
        migrate.upgrade(self.settings.database_url, with_base_tables=True)
        self._make_rows()
        return self

    def __exit__(self, *exception: object) -> None:
        for job in self.running():
            job.process.kill()
            job.process.wait()
        self.standin.stop()
        self.postgres.close()

    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.process.poll() is None]

    def start(self, numbers: list[int]) -> None:
        """Start a process on some analyses; every third has a spool that is soon full."""
        small = len(self.jobs) % 3 == 2
        journal = self.folder / f"journal-{len(self.jobs)}.jsonl"
        env = environment(
            OPENAI_API_KEY="soak",
            OPENAI_BASE_URL=self.standin.url,
            OTEL_TRACES_EXPORTER="none",
            OTEL_METRICS_EXPORTER="none",
            TELEMETRY_DATABASE_URL=self.settings.database_url,
            TELEMETRY_SPOOL_DIR=str(self.settings.spool_dir),
            TELEMETRY_HMAC_KEY=self.settings.hmac_key,
            TELEMETRY_CHECKPOINT_SECONDS="0.2",
            TELEMETRY_HEARTBEAT_SECONDS="1",
            **({"TELEMETRY_SPOOL_MAX_BYTES": SMALL_SPOOL} if small else {}),
        )
        command = [sys.executable, "-m", "tests.soak.worker", str(journal), *map(str, numbers)]
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        self.jobs.append(Job(process, numbers, journal, small))

    def kill(self, job: Job) -> None:
        """End a process at once, and remember what it had on the disk."""
        job.process.kill()
        job.process.wait()
        job.was_killed = True
        job.left = {each.run_id: each for each in snapshots(self.settings.spool_dir)}

    def cut_connections(self) -> None:
        """End the writers' connections, some of them in mid-transaction."""
        self.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'analysis-telemetry'"
        )

    def repeat(self) -> int:
        """Let all that is in the spool be delivered once more, late, as if left by another dead process."""
        root = self.settings.spool_dir / self.settings.spool_key()
        ghost = root / f".{uuid.uuid4().hex}"
        ghost.mkdir(parents=True)
        copied = 0
        for path in waiting(self.settings.spool_dir):
            if len(path.parent.name) != 32 or path.parent.name in self._ghosts:
                continue  # set aside, or a copy already
            try:
                shutil.copy(path, ghost)
                copied += 1
            except FileNotFoundError:
                pass
        (ghost / LOCK).touch()
        self._ghosts.add(ghost.rename(root / ghost.name[1:]).name)
        return copied

    def spooled_bytes(self) -> int:
        """How much waits on the disk."""
        total = 0
        for path in waiting(self.settings.spool_dir):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                pass
        return total

    def rows(self, query: str) -> list[dict[str, Any]]:
        engine = sa.create_engine(self.settings.database_url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query)).mappings()]

    def _make_rows(self) -> None:
        """The host has its users and its analyses before the runs begin."""
        users = [
            {"id": n, "email": f"{n}@example.com", "password_hash": "x", "name": "n"}
            for n in range(1, USERS + 1)
        ]
        analyses = [{"id": n, "user_id": user_of(n)} for n in range(1, self.analyses + 1)]
        engine = sa.create_engine(self.settings.database_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            now = "timezone('utc', now())"
            connection.execute(
                sa.text(
                    "INSERT INTO users (id, email, password_hash, name, created_at)"
                    f" VALUES (:id, :email, :password_hash, :name, {now})"
                ),
                users,
            )
            connection.execute(
                sa.text(
                    "INSERT INTO analyses (id, user_id, num_candidates, num_criteria, cost_usd, created_at)"
                    f" VALUES (:id, :user_id, 2, 1, 1, {now})"
                ),
                analyses,
            )
