"""How long a statement of the host waits for a row that telemetry updates in another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from exporters.sql.database.engine import create_engine
from exporters.sql.database.limits import IDLE_TIMEOUT_MS
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.storage import runs as run_storage
from tests.exporters.makers import KEY, Fragment, Host, call, visit
from tests.waiting import until

HOLD = 0.3
"""Seconds for which a call of C keeps the GIL."""
STATEMENTS = {
    "analyses": "UPDATE analyses SET num_candidates = num_candidates + 1 WHERE id = 1",
    "users": "UPDATE users SET last_seen = now() WHERE id = 1",
    "candidate_files": "UPDATE candidate_files SET candidate_name = candidate_name WHERE analysis_id = 1",
}
CONTROL = "UPDATE analyses SET num_candidates = num_candidates + 1 WHERE id = 2"
"""Waits only when the machine is slow: telemetry does not touch that row."""
MANY = 3000
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND objid = 1"


@pytest.fixture
def used(postgres_host: Host) -> Host:
    """An analysis with two files and a run."""
    postgres_host.add_user()
    postgres_host.add_analysis(1)
    postgres_host.add_analysis(2)
    postgres_host.add_file(1, "a.pdf")
    postgres_host.add_file(1, "b.pdf")
    return postgres_host


@pytest.fixture
def engine(used: Host) -> Iterator[Engine]:
    engine = create_engine(used.url)
    deliver(engine)
    yield engine
    engine.dispose()


def deliver(engine: Engine) -> None:
    """Store another run of the analysis, with new figures for every row."""
    run = Fragment(analysis_id=1, user_id=1, candidates=2).calls(call(pico=10**9))
    extraction_ns = time.time_ns() % 10**9
    run.documents(*(visit(name, score=0.5, extraction_ns=extraction_ns) for name in ("a.pdf", "b.pdf")))
    run_storage.deliver(engine, run.close())


@contextmanager
def projector(host: Host, hold: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.exporters.projector", host.url, str(hold)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class Waits:
    """Runs the host's statements one after another, and measures the longest wait."""

    def __init__(self, host: Host) -> None:
        self._engine = sa.create_engine(host.url, isolation_level="AUTOCOMMIT", pool_size=4)
        self._longest = dict.fromkeys((*STATEMENTS.values(), CONTROL), 0.0)

    @property
    def longest(self) -> float:
        """Return by how much, at least, telemetry made the longest of them longer."""
        return max(self._longest[statement] for statement in STATEMENTS.values()) - self._longest[CONTROL]

    def __enter__(self) -> Waits:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(statement,)) for statement in self._longest]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._engine.dispose()

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            while not self._over.wait(0.05):
                started = time.monotonic()
                connection.execute(sa.text(statement))
                self._longest[statement] = max(self._longest[statement], time.monotonic() - started)


def test_a_process_that_keeps_the_gil_delays_the_host_by_one_hold(used: Host, engine: Engine) -> None:
    """However long telemetry's thread waits for the GIL, no statement waits much longer than one hold of it.

    Most of four tries must keep to the limit: telemetry would break it every time, a slow disk does not.
    """
    longest = []
    with projector(used, HOLD):
        for number in (2, 3, 4, 5):
            with Waits(used) as waits:
                deliver(engine)
                until(lambda: used.row("analyses", id=1)["api_calls_made"] == number, 120)  # noqa: B023
                until(lambda: used.row("users")["total_jobs_run"] == number, 120)  # noqa: B023
            longest.append(waits.longest)

    assert sorted(longest)[1] <= 2 * HOLD


def test_a_stopped_process_keeps_no_row_locked(used: Host, engine: Engine) -> None:
    """At most it does so until the database ends its idle transaction."""
    patience = IDLE_TIMEOUT_MS / 1000
    longest, host = 0.0, sa.create_engine(used.url, isolation_level="AUTOCOMMIT")
    with projector(used, 0) as process, host.connect() as connection:
        connection.execute(sa.text(f"SET statement_timeout = {int(patience * 1000)}"))
        for number in range(30):
            deliver(engine)
            time.sleep(0.01 + number * 0.003)
            os.kill(process.pid, signal.SIGSTOP)
            for statement in STATEMENTS.values():
                started = time.monotonic()
                connection.execute(sa.text(statement))
                longest = max(longest, time.monotonic() - started)
            os.kill(process.pid, signal.SIGCONT)
    host.dispose()

    assert longest < patience


def test_the_wait_does_not_grow_with_the_runs_of_an_analysis(used: Host, engine: Engine) -> None:
    """Thousands of runs are projected in steps that hold the row briefly."""
    described = sa.Table("telemetry_runs", sa.MetaData(), autoload_with=used.engine)
    run = used.row("telemetry_runs")
    with used.engine.begin() as connection:
        many = [run | {"run_id": f"{number:032x}"} for number in range(MANY)]
        connection.execute(described.insert(), many)
    rows, started = HostRows(engine, KEY), time.monotonic()
    with Waits(used) as waits:
        assert until_shown(rows) is Projection.DONE
        deliver(engine)
        assert until_shown(rows) is Projection.DONE

    assert used.row("analyses", id=1)["api_calls_made"] == MANY + 2
    assert {row["projected_version"] for row in used.rows("telemetry_runs")} == {1}
    assert waits.longest <= max(0.5, (time.monotonic() - started) / 4)


@pytest.mark.parametrize("table", ["analyses", "candidate_files", "users"])
def test_a_locked_table_is_not_waited_for(used: Host, engine: Engine, table: str) -> None:
    """The projection gives up, and holds no lock itself meanwhile."""
    rows = HostRows(engine, KEY)
    with used.holding(f"LOCK TABLE {table}") as connection, pytest.raises(OperationalError):
        if table == "users":
            rows.project_user(1)
        else:
            rows.project_analysis(1)
        connection.execute(sa.text("LOCK TABLE analyses, candidate_files, users NOWAIT"))


@pytest.mark.parametrize("table", ["analyses", "users"])
def test_a_repeatable_read_transaction_of_the_host_can_finish(used: Host, engine: Engine, table: str) -> None:
    """Rows that it has read are not changed before its end, also while it executes a statement."""
    rows = HostRows(engine, KEY)
    used.engine = sa.create_engine(used.url, poolclass=sa.NullPool, isolation_level="REPEATABLE READ")

    def show() -> Projection:
        if table == "users":
            return rows.project_user(1)
        return rows.project_analysis(1)

    with (
        used.engine.connect() as other,
        used.holding(f"SELECT * FROM {table}") as connection,
    ):
        other.execute(sa.text("SELECT pg_advisory_lock(1)"))
        work = threading.Thread(target=connection.execute, args=(sa.text("SELECT pg_advisory_lock(1)"),))
        work.start()
        until(lambda: other.scalar(sa.text(WAITING)) == 1)
        assert show() is Projection.BUSY
        other.execute(sa.text("SELECT pg_advisory_unlock(1)"))
        work.join()
        connection.execute(sa.text(STATEMENTS[table]))
    assert show() is Projection.DONE


def test_a_row_that_is_up_to_date_is_not_written(used: Host, engine: Engine) -> None:
    """It keeps its version, so that transactions of the host that have read it do not fail."""
    rows = HostRows(engine, KEY)
    versions = sa.text("SELECT xmin::text FROM analyses UNION ALL SELECT xmin::text FROM candidate_files")

    def show() -> list[str]:
        assert rows.project_analysis(1) is Projection.DONE
        with used.engine.connect() as connection:
            return list(connection.scalars(versions))

    assert show() == show()


def until_shown(rows: HostRows) -> Projection:
    """Project until all rows were free, as the writer does."""
    for _ in range(100):
        if (outcome := rows.project_analysis(1)) is Projection.DONE:
            break
    return outcome
