"""Erase all rows of telemetry that are tied to one user or one analysis.

Totals of users are reduced accordingly. The log of days, which contains no ids, keeps its sums until a day is
logged again. Snapshots that still wait in a spool come back when they are delivered, so deliver them first
(`flask telemetry spool recover`), or repeat the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.spool.warning_event import subject_of
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import archived_runs, runs, warning_events

PARTS: Final = (tables.fragments, tables.stage_usage, tables.counters, tables.documents)
"""Tables with rows of a run, besides telemetry_runs."""
BATCH: Final = 500
"""Runs in one transaction."""
TRIES: Final = 20
"""How often to try to update the row of a user that the application has locked."""
PAUSE: Final = 0.25
"""Seconds between two tries."""


class RowLocked(ValueError):
    """The application has locked a row that has to change before something is erased."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased, or would be."""

    runs: int
    rows: int
    """Rows of all tables."""
    archived_runs: int = 0
    """Runs in archives, which this does not change."""
    archives: tuple[str, ...] = ()
    """Names of these archives."""


def erase(
    database_url: str, *, user_id: int | None = None, analysis_id: int | None = None, apply: bool = False
) -> Erased:
    """Count, or with ``apply`` erase, what is tied to a user or an analysis.

    With an analysis, the intake that was charged to it is erased, too.

    Raises:
        ValueError: if not exactly one of them is given, or the URL cannot be used.
        RowLocked: if the application does not unlock the row of a user; it can be called again.
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used; it can be called again.
    """
    if (user_id is None) == (analysis_id is None):
        raise ValueError("name a user or an analysis")
    engine = create_engine(database_url, for_reading=not apply)
    chosen = _tied(runs, user_id, analysis_id)
    try:
        if apply:
            _subtract_from_totals(engine, chosen)
        with transaction(engine) as connection:  # as long as the subjects of the runs are known
            events = _delete(connection, warning_events, _events_of(chosen, user_id), apply)
        erased_runs, erased_rows = _in_batches(
            engine, chosen, lambda connection, ids: erase_runs(connection, ids, apply)
        )
        with transaction(engine) as connection:
            erased_rows += events + _of_owner(connection, user_id, analysis_id, apply)
            archives = _archives(connection, _tied(archived_runs, user_id, analysis_id))
    finally:
        engine.dispose()
    return Erased(erased_runs, erased_rows, sum(archives.values()), tuple(archives))


def _in_batches(
    engine: Engine, chosen: sa.ColumnElement[bool], act: Callable[[Connection, list[str]], int]
) -> tuple[int, int]:
    """Call ``act`` with the ids of runs, in short transactions; return the number of runs and rows."""
    number = rows = 0
    last = ""
    while True:
        with transaction(engine) as connection:
            query = sa.select(runs.c.run_id).where(chosen, runs.c.run_id > last)
            ids = list(connection.execute(query.order_by(runs.c.run_id).limit(BATCH)).scalars())
            rows += act(connection, ids)
        number += len(ids)
        if len(ids) < BATCH:
            return number, rows
        last = ids[-1]


def _subtract_from_totals(engine: Engine, chosen: sa.ColumnElement[bool]) -> None:
    """Subtract the runs from the totals of their users, before the runs are deleted.

    Once a run is deleted, its user is not known any more. If the command is interrupted in between, the next
    one finds the run again, and so does every check for totals that lag behind.
    """
    _in_batches(engine, chosen, _exclude)
    is_kept = runs.c.user_ref.in_(sa.select(tables.users.c.user_ref))
    is_there = runs.c.user_ref.in_(sa.select(HOST.users.c.id))
    with transaction(engine) as connection:
        owners = sa.select(runs.c.user_ref).where(chosen, is_kept, is_there).distinct()
        users = list(connection.execute(owners).scalars())
    rows = HostRows(engine, b"")  # the key is for documents, and totals have none
    for user_id in users:
        _refresh(rows, user_id)


def _exclude(connection: Connection, ids: list[str]) -> int:
    """Mark runs as synthetic, which no total includes, and as missing in the totals of their users."""
    change = {"synthetic": True, "user_version": 0}
    return connection.execute(runs.update().where(runs.c.run_id.in_(ids)).values(change)).rowcount


def _refresh(rows: HostRows, user_id: int) -> None:
    for _ in range(TRIES):
        if rows.project_user(user_id) is not Projection.BUSY:
            return
        time.sleep(PAUSE)
    raise RowLocked(
        f"the application has locked the row of user {user_id}, whose totals have to change first: "
        "repeat the command in a minute"
    )


def _tied(table: sa.Table, user_id: int | None, analysis_id: int | None) -> sa.ColumnElement[bool]:
    return table.c.user_ref == user_id if user_id is not None else table.c.analysis_ref == analysis_id


def _archives(connection: Connection, which: sa.ColumnElement[bool]) -> dict[str, int]:
    """Return the number of runs by archive.

    This record is kept: without it the runs could not be found there, and a late snapshot would bring them
    back.
    """
    query = sa.select(archived_runs.c.archive, sa.func.count()).where(which)
    rows = connection.execute(query.group_by(archived_runs.c.archive).order_by(archived_runs.c.archive))
    return {archive: number for archive, number in rows}


def _events_of(chosen: sa.ColumnElement[bool], user_id: int | None) -> sa.ColumnElement[bool]:
    """Return the condition that an event about a warning belongs to these runs, or to this user."""
    events = warning_events.c
    same_subject = sa.or_(
        runs.c.subject == events.subject, sa.literal(subject_of("")) + runs.c.run_id == events.subject
    )
    same_user = sa.or_(events.user_ref.is_(None), events.user_ref == runs.c.user_ref)
    about_them = sa.exists().where(chosen, same_subject, same_user)
    return about_them if user_id is None else sa.or_(events.user_ref == user_id, about_them)


def erase_runs(connection: Connection, ids: list[str], apply: bool = True) -> int:
    """Delete the rows of runs in all tables, or only count them without ``apply``; return their number."""
    # The row of the run first, in the order in which a writer locks them.
    return sum(_delete(connection, table, table.c.run_id.in_(ids), apply) for table in (runs, *PARTS))


def _of_owner(connection: Connection, user_id: int | None, analysis_id: int | None, apply: bool) -> int:
    warnings, users = tables.document_warnings, tables.users
    number = 0
    if is_ours(connection, warnings):
        owned = (
            warnings.c.user_id == user_id if user_id is not None else warnings.c.analysis_id == analysis_id
        )
        number += _delete(connection, warnings, owned, apply)
    if user_id is not None:
        number += _delete(connection, users, users.c.user_ref == user_id, apply)
    return number


def _delete(connection: Connection, table: sa.Table, which: Any, apply: bool) -> int:
    """Delete rows, or only count them without ``apply``; return their number."""
    if apply:
        return connection.execute(table.delete().where(which)).rowcount
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table).where(which)) or 0)
