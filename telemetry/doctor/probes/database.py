"""Read from the database what the doctor checks: its revision, its clock, and the application's tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.host.check import Problem, lost, problems
from exporters.sql.host.columns import Writable
from exporters.sql.projection.lagging import Lag, lagging
from exporters.sql.schema import migrate, tables
from telemetry._internal.context import suppressed
from telemetry._internal.urls.secrets import driver_message


@dataclass(frozen=True, slots=True)
class Examined:
    """What was read from the database."""

    revision: str | None
    """None if it was never migrated."""
    head: str
    ahead: float | None
    """Seconds by which its clock is ahead of this machine's; None if it has no clock."""
    orphan_calls: int | None = None
    """Calls outside any run, if there was no run; None if there was, or it is not known."""
    problems: Sequence[Problem] = ()
    """Why telemetry cannot work with the tables of the application."""
    lost: Sequence[Problem] = ()
    """Columns of telemetry that were dropped from them."""
    left_out: Sequence[str] = ()
    """Optional columns that are missing."""
    lags: Sequence[Lag] = ()
    """Rows that do not show their runs."""


def examine(database_url: str, seconds: float, days: int, key: str = "") -> Examined:
    """Read the state of a database.

    Args:
        database_url: of the database.
        seconds: timeout of the connection.
        days: maximum age of the runs that are counted.
        key: key of the hashes of documents.

    Raises:
        ValueError: if the URL cannot be used.
        exporters.sql.schema.migrate.MigrationError: if the database cannot be used.
        ImportError: if its driver is not installed.
    """
    engine = create_engine(database_url, lambda: seconds, for_reading=True)
    try:
        with suppressed():
            revision = migrate.current(engine)
            is_current = revision == migrate.head()
            calls = _orphan_calls(engine, days) if is_current else None
            examined = Examined(revision, migrate.head(), _ahead(engine), calls)
            return examined if revision is None else _with_tables(examined, engine, database_url, key)
    except SQLAlchemyError as error:
        raise migrate.MigrationError(f"it cannot be read: {driver_message(error)}") from None
    finally:
        engine.dispose()


def _with_tables(examined: Examined, engine: Engine, database_url: str, key: str) -> Examined:
    with transaction(engine) as connection:
        unfit, dropped = problems(connection), lost(connection)
        left_out = Writable.of(connection).left_out()
    lags = lagging(database_url, key) if examined.revision == examined.head and not unfit else []
    return replace(examined, problems=unfit, lost=dropped, left_out=left_out, lags=lags)


def _ahead(engine: Engine) -> float | None:
    if engine.dialect.name != "postgresql":
        return None  # a file on this machine
    with transaction(engine) as connection:
        before = time.time()
        server_time = connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        after = time.time()
    return float(server_time) - (before + after) / 2


def _orphan_calls(engine: Engine, days: int) -> int | None:
    run = tables.runs.c
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)
    query = sa.select(
        sa.func.count(sa.case((run.kind.not_in(("orphan", "import")), 1))),
        sa.func.coalesce(sa.func.sum(sa.case((run.kind == "orphan", run.api_calls))), 0),
    ).where(run.started_at >= since, sa.not_(run.synthetic))
    with transaction(engine) as connection:
        begun, calls = connection.execute(query).one()
    return None if begun else int(calls)
