"""Everything of ours that is tied to one user or one analysis, erased on request.

Sums of days stay: they name nobody. What still waits in a spool comes back when it is delivered, so the
application's processes deliver first (`flask telemetry recover`), or the request is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import schema
from .database import create_engine, transaction
from .ownership import is_ours
from .schema import archived_runs, runs, warning_events
from .warning_event import subject_of

PARTS: Final = (schema.fragments, schema.stage_usage, schema.counters, schema.documents)
"""Tables with rows of a run, besides its own."""
BATCH: Final = 500
"""Runs of one transaction."""


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
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away; it can be repeated.
    """
    if (user_id is None) == (analysis_id is None):
        raise ValueError("name a user or an analysis")
    engine = create_engine(database_url, for_reading=not apply)
    chosen = _tied(runs, user_id, analysis_id)
    erased_runs = 0
    last = ""
    try:
        with transaction(engine) as connection:  # while the runs still tell which subjects were theirs
            erased_rows = _away(connection, warning_events, _told_of(chosen, user_id), apply)
        while True:
            with transaction(engine) as connection:
                query = sa.select(runs.c.run_id).where(chosen, runs.c.run_id > last)
                ids = list(connection.execute(query.order_by(runs.c.run_id).limit(BATCH)).scalars())
                erased_rows += erase_runs(connection, ids, apply)
            erased_runs += len(ids)
            if len(ids) < BATCH:
                break
            last = ids[-1]
        with transaction(engine) as connection:
            erased_rows += _of_owner(connection, user_id, analysis_id, apply)
            archives = _archives(connection, _tied(archived_runs, user_id, analysis_id))
    finally:
        engine.dispose()
    return Erased(erased_runs, erased_rows, sum(archives.values()), tuple(archives))


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
    warnings, users = schema.document_warnings, schema.users
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
