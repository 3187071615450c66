"""The system under test: a stand-in with a ledger, two tenants, and their processes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from examples.screener.standin.client import StandIn
from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import parse_entry
from exporters.spool.takeover import LOCK
from tests.end_to_end.processes import ROOT, environment
from tests.postgres import TemporaryPostgres
from tests.soak.tenant import NAMES, Tenant
from tests.spool import waiting

FAULTS: list[dict[str, Any]] = [
    {"status": 429, "rate": 0.1, "retry_after_ms": 5},
    {"break_body": True, "rate": 0.03},
    {"delay_ms": 40},
]
CHUNK = 60
"""Analyses of one process."""
SMALL_SPOOL = "6000"
"""Size limit of a spool that is soon full, in bytes."""


@dataclass
class Job:
    """A process, and its analyses."""

    process: subprocess.Popen[bytes]
    tenant: Tenant
    numbers: list[int]
    journal: Path
    has_small_spool: bool
    left: dict[str, Snapshot] = field(default_factory=dict)
    """The snapshots of its runs that were in the spool when it was killed, by run."""
    was_killed: bool = False

    @property
    def unopened(self) -> list[int]:
        """The analyses that it did not begin."""
        opened = self._numbers("opened")
        return [number for number in self.numbers if number not in opened]

    @property
    def opening(self) -> set[int]:
        """The analyses whose runs it was opening, or had just opened, when it was killed."""
        return self._numbers("opening") - self._numbers("opened") if self.was_killed else set()

    @property
    def ended(self) -> set[int]:
        """The analyses whose runs it ended."""
        return self._numbers("ended")

    @property
    def open_runs(self) -> set[int]:
        """The analyses whose runs it began and did not end."""
        return self._numbers("opened") - self.ended

    def _numbers(self, event: str) -> set[int]:
        return {entry["number"] for entry in self.events() if entry["event"] == event}

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of its journal; the last one may be incomplete."""
        for line in self.journal.read_text().splitlines() if self.journal.exists() else ():
            try:
                yield json.loads(line)
            except ValueError:
                return


class System:
    """All parts of the system; leaving the block ends all processes."""

    def __init__(self, folder: Path, analyses: int) -> None:
        self.folder = folder
        self.analyses = analyses
        self.spool = folder / "spool"
        self.postgres = TemporaryPostgres()
        self.standin = StandIn(FAULTS)
        url = self.postgres.create_database()
        share = len(NAMES)
        self.tenants = [
            Tenant(name, url, self.spool, range(first, analyses + 1, share))
            for first, name in enumerate(NAMES, start=1)
        ]
        self.jobs: list[Job] = []
        self._ghosts: set[str] = set()

    def __enter__(self) -> Self:
        self.standin.start()
        for tenant in self.tenants:
            tenant.make()
        return self

    def __exit__(self, *exception: object) -> None:
        for job in self.running():
            job.process.kill()
            job.process.wait()
        self.standin.stop()
        self.postgres.close()

    def running(self) -> list[Job]:
        return [job for job in self.jobs if job.process.poll() is None]

    def start(self, tenant: Tenant, numbers: list[int]) -> None:
        """Start a process for some analyses of one tenant.

        Every third has a spool that is soon full; in every fourth, C code holds the interpreter's lock.
        """
        small, holds = len(self.jobs) % 3 == 2, len(self.jobs) % 4 == 1
        journal = self.folder / f"journal-{len(self.jobs)}.jsonl"
        env = environment(
            OPENAI_API_KEY="soak",
            OPENAI_BASE_URL=self.standin.url,
            OTEL_TRACES_EXPORTER="none",
            OTEL_METRICS_EXPORTER="none",
            TELEMETRY_DATABASE_URL=tenant.settings.database_url,
            TELEMETRY_SPOOL_DIR=str(self.spool),
            TELEMETRY_HMAC_KEY=tenant.settings.hmac_key,
            TELEMETRY_CHECKPOINT_SECONDS="0.2",
            TELEMETRY_HEARTBEAT_SECONDS="1",
            **({"TELEMETRY_SPOOL_MAX_BYTES": SMALL_SPOOL} if small else {}),
            **({"SOAK_HOLDS_GIL": "1"} if holds else {}),
        )
        command = [sys.executable, "-m", "tests.soak.worker", str(journal), *map(str, numbers)]
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        self.jobs.append(Job(process, tenant, numbers, journal, small))

    def kill(self, job: Job) -> None:
        """Kill a process, and record its snapshots on the disk."""
        job.process.kill()
        job.process.wait()
        job.was_killed = True
        job.left = {snapshot.run_id: snapshot for snapshot in self._snapshots(job.tenant)}

    def cut_connections(self) -> None:
        """End the writers' connections, some of them in a transaction."""
        self.postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'analysis-telemetry'"
        )

    def spooled(self, tenant: Tenant) -> list[Path]:
        """Return the entries that wait for a tenant's database, without the copies of :meth:`repeat`."""
        paths = [path for path in waiting(self.spool) if path.is_relative_to(tenant.folder)]
        return [
            path
            for path in paths
            if len(path.parent.name) == 32 and path.parent.name not in self._ghosts and _is_own(path)
        ]

    def _snapshots(self, tenant: Tenant) -> Iterator[Snapshot]:
        for path in self.spooled(tenant):
            try:
                entry = parse_entry(path.read_text())
            except (FileNotFoundError, ValueError, RecursionError):  # delivered meanwhile, or damaged
                continue
            if isinstance(entry, Snapshot):
                yield entry

    def repeat(self) -> int:
        """Copy all entries of the spool, as if another dead process had left them; return their number."""
        return sum(self._repeat(tenant) for tenant in self.tenants)

    def _repeat(self, tenant: Tenant) -> int:
        ghost = tenant.folder / f".{uuid.uuid4().hex}"
        ghost.mkdir(mode=0o700, parents=True)
        copied = 0
        for path in self.spooled(tenant):
            with suppress(FileNotFoundError):
                shutil.copy(path, ghost)
                copied += 1
        (ghost / LOCK).touch(mode=0o600)
        self._ghosts.add(ghost.rename(tenant.folder / ghost.name[1:]).name)
        return copied

    def spooled_bytes(self) -> int:
        """Return the bytes that wait in the spool."""
        total = 0
        for path in waiting(self.spool):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


def _is_own(path: Path) -> bool:
    """Return whether a path is a regular file of this user."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
