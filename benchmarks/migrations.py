"""What a migration of a large database costs the host: ``python -m benchmarks.migrations``.

PostgreSQL with 1,000,000 analyses, 50,000 users and 200,000 files. While telemetry's tables, columns and
indexes are added, the host reads and updates analyses without a pause, and pg_locks is read every
millisecond. The result is the longest time for which each lock on a table of the host was held. Then the
same is measured for the downgrade.

Locks that stop readers (AccessExclusiveLock) or writers (ShareLock and above) count for the target;
ShareUpdateExclusiveLock, under which indexes are built, stops neither.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import sqlalchemy as sa

from exporters.sql.schema import migrate
from tests.postgres import TemporaryPostgres

ANALYSES: Final = 1_000_000
USERS: Final = 50_000
FILES: Final = 200_000
TARGET: Final = 0.2
"""Seconds for which the host may be blocked at a time: as long as a statement of ours waits for a lock."""
HOST: Final = (
    "CREATE TABLE users (id SERIAL PRIMARY KEY, email VARCHAR(120) NOT NULL UNIQUE, created_at TIMESTAMP)",
    "CREATE TABLE analyses (id SERIAL PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users,"
    " job_title VARCHAR(255), num_candidates INTEGER NOT NULL, num_criteria INTEGER NOT NULL,"
    " coverage_data TEXT, cost_usd NUMERIC(10,2) NOT NULL, created_at TIMESTAMP NOT NULL,"
    " completed_at TIMESTAMP, processing_duration_seconds INTEGER)",
    "CREATE TABLE candidate_files (id SERIAL PRIMARY KEY,"
    " analysis_id INTEGER NOT NULL REFERENCES analyses ON DELETE CASCADE, candidate_name VARCHAR(255),"
    " file_name VARCHAR(255) NOT NULL, file_bytes BYTEA NOT NULL, extracted_text TEXT NOT NULL,"
    " created_at TIMESTAMP NOT NULL)",
    f"INSERT INTO users SELECT n, n || '@example.com', now() FROM generate_series(1, {USERS}) n",
    f"INSERT INTO analyses SELECT n, 1 + n % {USERS}, 'Engineer', 1 + n % 200, 5, repeat('x', 200), 9.5,"
    " now() - n * interval '1 minute', now() - n * interval '1 minute', n % 900"
    f" FROM generate_series(1, {ANALYSES}) n",
    f"INSERT INTO candidate_files SELECT n, 1 + n % {ANALYSES}, 'name', n || '.pdf', "
    f" decode('00ff', 'hex'), 'text', now() FROM generate_series(1, {FILES}) n",
    "ANALYZE",
)
HELD: Final = sa.text(
    "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.granted AND a.application_name = 'migrator'"
    " AND c.relname IN ('users', 'analyses', 'candidate_files')"
)
HARMLESS: Final = ("AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock")

Lock = tuple[str, str]
"""Table and mode."""


def main() -> None:
    """Measure, and print the figures."""
    with TemporaryPostgres() as server:
        _make_host(server.url())
        up, seconds = _watched(server.url(), partial(migrate.upgrade, _as_migrator(server.url())))
        down, _ = _watched(server.url(), partial(migrate.downgrade, _as_migrator(server.url())))
    for title, seen in (("upgrade", up), ("downgrade", down)):
        for (table, mode), held in sorted(seen.locks.items()):
            print(f"{title:<10}{table:<17}{mode:<26}{1000 * held:9.1f} ms at a time, at most")
        print(f"{title:<10}the host's longest read or update {1000 * seen.longest_wait:19.1f} ms")
    worst = max(up.longest_stop, down.longest_stop, up.longest_wait, down.longest_wait)
    result = {
        "name": "migrations",
        "analyses": ANALYSES,
        "upgrade_seconds": round(seconds, 1),
        "longest_stop_seconds": round(worst, 3),
        "target": TARGET,
        "met": worst <= TARGET,
    }
    print(json.dumps(result))


class Seen:
    """What was observed during a migration."""

    def __init__(self) -> None:
        self.locks: dict[Lock, float] = {}
        """The longest time for which each lock was held, in seconds."""
        self.longest_wait = 0.0
        """The longest time that a statement of the host took, in seconds."""
        self._since: dict[Lock, float] = {}

    @property
    def longest_stop(self) -> float:
        """The longest time for which the host could not read or write a table, in seconds."""
        return max((held for (_, mode), held in self.locks.items() if mode not in HARMLESS), default=0.0)

    def look(self, held: set[Lock]) -> None:
        """Record the locks that are held now."""
        now = time.monotonic()
        self._since = {lock: self._since.get(lock, now) for lock in held}
        for lock, since in self._since.items():
            self.locks[lock] = max(self.locks.get(lock, 0.0), now - since)


def _make_host(url: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in HOST:
            connection.execute(sa.text(statement))


def _as_migrator(url: str) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args={"application_name": "migrator"})


def _watched(url: str, migration: Callable[[], None]) -> tuple[Seen, float]:
    """Run a migration while a host works and locks are observed; return the observations and the duration."""
    seen, over = Seen(), threading.Event()
    with _beside(partial(_watch, url, seen, over)), _beside(partial(_work, url, seen, over)):
        started = time.monotonic()
        try:
            migration()
        finally:
            seconds = time.monotonic() - started
            over.set()
    return seen, seconds


@contextmanager
def _beside(action: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=action)
    thread.start()
    yield
    thread.join()


def _watch(url: str, seen: Seen, over: threading.Event) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        while not over.wait(0.001):
            seen.look({(table, mode) for table, mode in connection.execute(HELD)})


def _work(url: str, seen: Seen, over: threading.Event) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    read = sa.text("SELECT num_candidates FROM analyses WHERE id = :id")
    write = sa.text("UPDATE analyses SET job_title = 'Engineer' WHERE id = :id")
    with engine.connect() as connection:
        while not over.is_set():
            for statement in (read, write):
                started = time.monotonic()
                connection.execute(statement, {"id": random.randint(1, ANALYSES)})
                connection.commit()
                seen.longest_wait = max(seen.longest_wait, time.monotonic() - started)


if __name__ == "__main__":
    main()
