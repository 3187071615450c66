"""What is left of rows that the host has deleted, in bulk perhaps: for the daily check.

References to host rows are soft, so that nothing of ours stands in the way of a deletion. What a deleted
analysis had cost stays in every total; it only belongs to no row any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.sql.database.engine import transaction
from exporters.sql.host.columns import Writable
from exporters.sql.schema.host import HOST
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import document_warnings as warnings
from exporters.sql.schema.tables import runs
from exporters.sql.storage.archived import is_same_row

BATCH: Final = 1000
"""Runs of one transaction."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many rows of ours had lost theirs."""

    runs: int
    warnings: int


def sweep(engine: Engine) -> Swept:
    """Let go of analyses that are gone, and delete warnings whose analysis or user is gone.

    Runs that a writer is at work on are left for the next time.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away; it can be repeated.
    """
    return Swept(_sweep_runs(engine), _sweep_warnings(engine))


def _sweep_runs(engine: Engine) -> int:
    swept, writable = 0, Writable.load(engine)
    while True:
        with transaction(engine) as connection:
            gone = list(connection.execute(_gone(connection, writable).limit(BATCH)).scalars())
            change = {"analysis_gone": True, "projected_version": runs.c.version, "files_pending": 0}
            if gone:
                connection.execute(runs.update().where(runs.c.run_id.in_(gone)).values(change))
        swept += len(gone)
        if len(gone) < BATCH:
            return swept


def _gone(connection: Connection, writable: Writable) -> sa.Select[tuple[str]]:
    """Select, and lock, the runs whose row was seen once: one that never was may still come."""
    table, created = HOST.analyses, runs.c.analysis_created_at
    same_row = is_same_row(connection, created, writable.column(table, "created_at"))
    is_there = sa.exists().where(table.c.id == runs.c.analysis_ref, same_row)
    seen = sa.and_(runs.c.analysis_ref.is_not(None), runs.c.analysis_seen_at.is_not(None))
    query = sa.select(runs.c.run_id).where(seen, runs.c.analysis_gone.is_(False), ~is_there)
    # In no order: nobody is waited for, and PostgreSQL would look up each run by its id.
    return query.with_for_update(of=runs, skip_locked=True)


def _sweep_warnings(engine: Engine) -> int:
    """Delete what ON DELETE CASCADE would have: SQLite does that only when asked to."""
    owners = ((warnings.c.analysis_id, HOST.analyses.c.id), (warnings.c.user_id, HOST.users.c.id))
    lost = [sa.and_(mine.is_not(None), ~sa.exists().where(theirs == mine)) for mine, theirs in owners]
    with transaction(engine) as connection:
        if not is_ours(connection, warnings):
            return 0
        return connection.execute(warnings.delete().where(sa.or_(*lost))).rowcount
