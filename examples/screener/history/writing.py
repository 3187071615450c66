"""Write a history into a database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from .history import History
from .rows import Job, Row, run_id

BATCH: Final = 5000
_PARTS: Final = {
    "stages": "telemetry_stage_usage",
    "documents": "telemetry_documents",
    "counters": "telemetry_counters",
}
"""Tables of the parts of a job."""
_USERS: Final = """
    INSERT INTO telemetry_users
        (user_ref, created_at, jobs, candidates, cost_pico, largest_batch, last_run_at)
    SELECT users.id, users.created_at, COUNT(*), SUM(run.candidates), SUM(run.cost_pico),
        MAX(run.candidates), MAX(run.started_at)
    FROM telemetry_runs run JOIN users ON users.id = run.user_ref
    WHERE users.id > :known
    GROUP BY users.id, users.created_at
"""
_RESERVE: Final = "SELECT setval(pg_get_serial_sequence(:table, 'id'), :highest)"


def write(engine: sa.Engine, history: History, report: Any = lambda done: None) -> None:
    """Write a history into a database that has none; it may have users and analyses already.

    Args:
        engine: with the tables of the screener and of telemetry.
        history: what happened.
        report: called with the number of analyses that are written.
    """
    names = ("users", "analyses", "telemetry_runs", *_PARTS.values(), "document_warnings")
    tables = {name: sa.Table(name, sa.MetaData(), autoload_with=engine) for name in names}
    with engine.begin() as connection:
        _reserve_ids(connection, history)
        _insert(connection, tables["users"], list(history.users()))
    done = 0
    for jobs in _batches(history.jobs()):
        with engine.begin() as connection:
            _insert(connection, tables["analyses"], [job.analysis for job in jobs if job.analysis])
            _insert(connection, tables["telemetry_runs"], [job.run for job in jobs])
            for part, name in _PARTS.items():
                _insert(connection, tables[name], [row for job in jobs for row in getattr(job, part)])
            warnings = [job.warning for job in jobs if job.warning]
            _insert(connection, tables["document_warnings"], warnings)
        done += len(jobs)
        report(done)
    with engine.begin() as connection:
        connection.execute(sa.text(_USERS), {"known": history.known_users})
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))


def _reserve_ids(connection: sa.Connection, history: History) -> None:
    """Have the history's ids follow those that are there, and precede those of an application at work."""
    history.known_users = _highest(connection, "users")
    history.known_analyses = _highest(connection, "analyses")
    if connection.dialect.name == "postgresql":
        for table, highest in history.highest().items():
            connection.execute(sa.text(_RESERVE), {"table": table, "highest": highest})


def _highest(connection: sa.Connection, table: str) -> int:
    return connection.execute(sa.text(f"SELECT MAX(id) FROM {table}")).scalar() or 0


def is_there(engine: sa.Engine) -> bool:
    """Return whether a history was written already."""
    with engine.connect() as connection:
        query = sa.text("SELECT COUNT(*) FROM telemetry_runs WHERE run_id = :first")
        return bool(connection.execute(query, {"first": run_id(1)}).scalar())


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    if not rows:
        return
    driver: Any = connection.connection.dbapi_connection
    if not hasattr(driver.cursor(), "copy_expert"):
        connection.execute(table.insert(), list(rows))
        return
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row.values()] for row in rows)
    text.seek(0)
    columns = ", ".join(rows[0])
    copy = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT csv, NULL '{_NULL}')"
    driver.cursor().copy_expert(copy, text)


_NULL: Final = "\\N"


def _cell(value: Any) -> Any:
    return _NULL if value is None else value
