"""Runs and days that are in archives: none may count as new, or be missing in a total."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.rollup.snapshot import Snapshot
from exporters.sql.database.days import Day
from exporters.sql.database.statements import comparable
from exporters.sql.schema.tables import archived_days, archived_runs


class AlreadyArchived(Exception):
    """Raised for a snapshot whose content is in an archive already."""


class ArchivedRun(ValueError):
    """Raised for a newer snapshot of a run that is in an archive, to which nothing can be added."""


def refuse(connection: Connection, snapshot: Snapshot) -> None:
    """Refuse a snapshot of a run that is in an archive; called when it has created a new row.

    Raises:
        AlreadyArchived: if it was delivered before the run was archived.
        ArchivedRun: if it was not.
    """
    query = sa.select(archived_runs.c.fragments, archived_runs.c.archive)
    row = connection.execute(query.where(archived_runs.c.run_id == snapshot.run_id)).first()
    if row is None:
        return
    if snapshot.seq <= json.loads(row.fragments).get(snapshot.fragment_id, -1):
        raise AlreadyArchived
    raise ArchivedRun(f"run {snapshot.run_id} is in the archive {row.archive}")


def of_analysis(
    connection: Connection, analysis_id: Any, created_at: sa.ColumnElement[Any] | None
) -> sa.ColumnElement[bool]:
    """Return the condition that runs of an analysis of the host are in an archive.

    Args:
        connection: a connection to the database.
        analysis_id: the id of the analysis, or the column of ids.
        created_at: the column of its creation, if there is one: SQLite gives ids of deleted rows to new ones.
    """
    then = archived_runs.c.analysis_created_at
    same_row = is_same_row(connection, then, created_at)
    is_linked = sa.and_(archived_runs.c.analysis_ref == analysis_id, archived_runs.c.analysis_gone.is_(False))
    return sa.exists().where(is_linked, same_row)


def is_same_row(
    connection: Connection, then: sa.ColumnElement[Any], created_at: sa.ColumnElement[Any] | None
) -> sa.ColumnElement[bool]:
    """Return the condition that a row of the host is the one that was created ``then``, if that is known."""
    if created_at is None:
        return sa.true()
    return sa.or_(then.is_(None), comparable(connection, then) == comparable(connection, created_at))


def is_day_archived(connection: Connection, day: Day) -> bool:
    """Return whether the day's row in the log, or runs that it counted, are in an archive."""
    return connection.scalar(sa.select(sa.or_(_is_logged(day.date), _has_runs(day)))) or False


def _is_logged(day: date) -> sa.ColumnElement[bool]:
    return sa.exists().where(archived_days.c.log_date == day)


def _has_runs(day: Day) -> sa.ColumnElement[bool]:
    began = archived_runs.c.started_at
    return sa.exists().where(began >= day.start, began < day.end)
