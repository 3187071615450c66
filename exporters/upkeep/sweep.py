"""Clean up after rows that the host has deleted, as part of the daily check.

References to host rows are not foreign keys, so that they never block a deletion. The cost of a deleted
analysis stays in all totals; it only has no row any more.
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
"""Runs in one transaction."""


@dataclass(frozen=True, slots=True)
class Swept:
    """Number of rows whose host row was deleted."""

    runs: int
    warnings: int


def sweep(engine: Engine) -> Swept:
    """Mark runs whose analysis was deleted, and delete warnings whose analysis or user was deleted.

    Runs that a writer has locked are left for the next time.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used; it can be called again.
    """
    return Swept(_sweep_runs(engine), _sweep_warnings(engine))


def _sweep_runs(engine: Engine) -> int:
    swept, writable = 0, Writable.load(engine)
    while True:
        with transaction(engine) as connection:
            ids = list(connection.execute(_gone(connection, writable).limit(BATCH)).scalars())
            change = {"analysis_gone": True, "projected_version": runs.c.version, "files_pending": 0}
            if ids:
                connection.execute(runs.update().where(runs.c.run_id.in_(ids)).values(change))
        swept += len(ids)
        if len(ids) < BATCH:
            return swept


def _gone(connection: Connection, writable: Writable) -> sa.Select[tuple[str]]:
    """Return the query that locks the runs whose row was seen: one that never was may still be created."""
    table, created = HOST.analyses, runs.c.analysis_created_at
    same_row = is_same_row(connection, created, writable.column(table, "created_at"))
    is_there = sa.exists().where(table.c.id == runs.c.analysis_ref, same_row)
    seen = sa.and_(runs.c.analysis_ref.is_not(None), runs.c.analysis_seen_at.is_not(None))
    query = sa.select(runs.c.run_id).where(seen, runs.c.analysis_gone.is_(False), ~is_there)
    # Not sorted: locked rows are skipped, and with an order PostgreSQL would look up each run by its id.
    return query.with_for_update(of=runs, skip_locked=True)


def _sweep_warnings(engine: Engine) -> int:
    """Delete what ON DELETE CASCADE would have deleted: SQLite ignores it by default."""
    owners = ((warnings.c.analysis_id, HOST.analyses.c.id), (warnings.c.user_id, HOST.users.c.id))
    lost = [
        sa.and_(reference.is_not(None), ~sa.exists().where(host_id == reference))
        for reference, host_id in owners
    ]
    with transaction(engine) as connection:
        if not is_ours(connection, warnings):
            return 0
        return connection.execute(warnings.delete().where(sa.or_(*lost))).rowcount
