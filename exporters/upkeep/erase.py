"""Everything of ours that is tied to one user or one analysis, erased on request.

Totals of users go down with it. The log of days, which names nobody, keeps its sums until a day is logged
again: then it tells of what is left. What still waits in a spool comes back when it is delivered, so the
application's processes deliver first (`flask telemetry spool recover`), or the request is repeated.
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
"""Tables with rows of a run, besides its own."""
BATCH: Final = 500
"""Runs of one transaction."""
ATTEMPTS: Final = 20
"""How often a user's row is tried that the application holds."""
PAUSE: Final = 0.25
"""Seconds between two attempts."""


class StillHeld(ValueError):
    """The application holds a row that has to change before something is erased."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What there was."""

    runs: int
    rows: int
    """Of all tables."""
    archived_runs: int = 0
    """In archives, which cannot be reached from here."""
    archives: tuple[str, ...] = ()
    """Their names."""


def erase(
    database_url: str, *, user_id: int | None = None, analysis_id: int | None = None, apply: bool = False
) -> Erased:
    """Count, or with ``apply`` erase, what is tied to a user or an analysis.

    An analysis takes the intake that was charged to it along.

    Raises:
        ValueError: unless exactly one of them is given, or for a URL that cannot be used.
        StillHeld: when the application does not let go of a user's row; it can be repeated.
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away; it can be repeated.
    """
    if (user_id is None) == (analysis_id is None):
        raise ValueError("name a user or an analysis")
    engine = create_engine(database_url, for_reading=not apply)
    chosen = _tied(runs, user_id, analysis_id)
    try:
        if apply:
            _take_out_of_totals(engine, chosen)
        with transaction(engine) as connection:  # while the runs still tell which subjects were theirs
            told = _away(connection, warning_events, _told_of(chosen, user_id), apply)
        erased_runs, erased_rows = _batch_by_batch(
            engine, chosen, lambda connection, ids: erase_runs(connection, ids, apply)
        )
        with transaction(engine) as connection:
            erased_rows += told + _of_owner(connection, user_id, analysis_id, apply)
            archives = _archives(connection, _tied(archived_runs, user_id, analysis_id))
    finally:
        engine.dispose()
    return Erased(erased_runs, erased_rows, sum(archives.values()), tuple(archives))


def _batch_by_batch(
    engine: Engine, chosen: sa.ColumnElement[bool], act: Callable[[Connection, list[str]], int]
) -> tuple[int, int]:
    """Do something with runs, in short transactions; return how many runs and rows they were."""
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


def _take_out_of_totals(engine: Engine, chosen: sa.ColumnElement[bool]) -> None:
    """Bring the totals of their users to what is left without these runs, which are still there.

    Once a run is gone nobody knows whose it was. Broken off in between, the command finds it again, and so
    does whoever looks for totals that lag behind.
    """
    _batch_by_batch(engine, chosen, _count_no_more)
    is_kept = runs.c.user_ref.in_(sa.select(tables.users.c.user_ref))
    is_there = runs.c.user_ref.in_(sa.select(HOST.users.c.id))
    with transaction(engine) as connection:
        owners = sa.select(runs.c.user_ref).where(chosen, is_kept, is_there).distinct()
        users = list(connection.execute(owners).scalars())
    rows = HostRows(engine, b"")  # the key is for documents, and no totals have any
    for user_id in users:
        _refresh(rows, user_id)


def _count_no_more(connection: Connection, ids: list[str]) -> int:
    """Let runs be in no total, as synthetic ones are not, nor in one that was computed before."""
    change = {"synthetic": True, "user_version": 0}
    return connection.execute(runs.update().where(runs.c.run_id.in_(ids)).values(change)).rowcount


def _refresh(rows: HostRows, user_id: int) -> None:
    for _ in range(ATTEMPTS):
        if rows.project_user(user_id) is not Projection.BUSY:
            return
        time.sleep(PAUSE)
    raise StillHeld(
        f"the application holds the row of user {user_id}, whose totals have to change first: "
        "repeat the command in a minute"
    )


def _tied(table: sa.Table, user_id: int | None, analysis_id: int | None) -> sa.ColumnElement[bool]:
    return table.c.user_ref == user_id if user_id is not None else table.c.analysis_ref == analysis_id


def _archives(connection: Connection, which: sa.ColumnElement[bool]) -> dict[str, int]:
    """Return how many runs are in which archive.

    That stays known: without it nobody could find them there, and a late snapshot would bring them back.
    """
    query = sa.select(archived_runs.c.archive, sa.func.count()).where(which)
    rows = connection.execute(query.group_by(archived_runs.c.archive).order_by(archived_runs.c.archive))
    return {archive: number for archive, number in rows}


def _told_of(chosen: sa.ColumnElement[bool], user_id: int | None) -> sa.ColumnElement[bool]:
    """Return which events about warnings are about these runs, or were this user's."""
    events = warning_events.c
    mine = sa.or_(
        runs.c.subject == events.subject, sa.literal(subject_of("")) + runs.c.run_id == events.subject
    )
    same_user = sa.or_(events.user_ref.is_(None), events.user_ref == runs.c.user_ref)
    about_them = sa.exists().where(chosen, mine, same_user)
    return about_them if user_id is None else sa.or_(events.user_ref == user_id, about_them)


def erase_runs(connection: Connection, ids: list[str], apply: bool = True) -> int:
    """Erase, or count without ``apply``, the rows of runs in all tables; return how many they are."""
    # The run's own row first: it is what a writer locks before it writes the others.
    return sum(_away(connection, table, table.c.run_id.in_(ids), apply) for table in (runs, *PARTS))


def _of_owner(connection: Connection, user_id: int | None, analysis_id: int | None, apply: bool) -> int:
    warnings, users = tables.document_warnings, tables.users
    gone = 0
    if is_ours(connection, warnings):
        mine = warnings.c.user_id == user_id if user_id is not None else warnings.c.analysis_id == analysis_id
        gone += _away(connection, warnings, mine, apply)
    if user_id is not None:
        gone += _away(connection, users, users.c.user_ref == user_id, apply)
    return gone


def _away(connection: Connection, table: sa.Table, which: Any, apply: bool) -> int:
    if apply:
        return connection.execute(table.delete().where(which)).rowcount
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table).where(which)) or 0)
