"""Connects warnings with the analyses that they belong to, which do not exist yet when they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.spool.warning_event import subject_of
from exporters.sql.host.change import More
from exporters.sql.schema.host import HOST
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import document_warnings as table
from exporters.sql.schema.tables import runs
from telemetry._internal.run import Warned


def analysis_of(connection: Connection, warned: Warned, moment: datetime) -> int | None:
    """Return the analysis of a warning, if it exists: the first that ended after the warning was shown."""
    analyses = HOST.analyses
    if warned.analysis_id is not None:
        return warned.analysis_id if exists(connection, analyses.c.id == warned.analysis_id) else None
    query = (
        sa.select(runs.c.analysis_ref)
        .join(analyses, analyses.c.id == runs.c.analysis_ref)
        .where(runs.c.kind == "analysis", runs.c.subject == warned.subject, runs.c.analysis_gone.is_(False))
        .where(runs.c.user_ref.is_not_distinct_from(warned.user_id), runs.c.ended_at >= moment)
        .order_by(runs.c.started_at)
    )
    return connection.execute(query.limit(1)).scalar()


def attach_late(connection: Connection, since: datetime) -> None:
    """Attach warnings that arrived while their analysis was being updated."""
    loose = sa.and_(
        table.c.analysis_id.is_(None), table.c.subject.is_not(None), table.c.warning_shown_at > since
    )
    query = sa.select(table.c.id, table.c.user_id, table.c.subject, table.c.warning_shown_at).where(loose)
    for row in connection.execute(query).all():
        warned = Warned(user_id=row.user_id, subject=row.subject)
        analysis_id = analysis_of(connection, warned, row.warning_shown_at)
        free = sa.select(HOST.analyses.c.id).where(HOST.analyses.c.id == analysis_id)
        if analysis_id is not None and connection.scalar(
            free.with_for_update(read=True, key_share=True, skip_locked=True)
        ):
            connection.execute(table.update().where(table.c.id == row.id).values(analysis_id=analysis_id))


def loose(connection: Connection, linked_runs: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return the ids of warnings about the subjects of these runs that belong to no analysis yet."""
    subjects: dict[int | None, set[str]] = {}
    for run in linked_runs:
        subjects.setdefault(run["user_ref"], set()).update(
            filter(None, (run["subject"], subject_of(run["run_id"])))
        )
    ids: list[int] = []
    for user, names in subjects.items():
        of_user = sa.and_(
            table.c.analysis_id.is_(None),
            table.c.subject.in_(sorted(names)),
            table.c.user_id.is_not_distinct_from(user),
        )
        ids += connection.scalars(sa.select(table.c.id).where(of_user))
    return ids if ids and is_ours(connection, table) else []


def attached(analysis_id: int, ids: list[int]) -> More | None:
    """Return the change that attaches warnings to an analysis whose row is locked; None if ``ids`` is empty.

    Warnings that another session has locked are left to :func:`exporters.sql.storage.warnings.settle`.
    """
    if not ids:
        return None
    these = sa.and_(table.c.id.in_(ids), table.c.analysis_id.is_(None))
    change = table.update().where(these).values(analysis_id=analysis_id)
    rows = [{"id": warning_id, "analysis_id": analysis_id} for warning_id in ids]
    return More(table, rows, _attach, lambda connection: connection.execute(change))


def _attach(given: Any, when: sa.ColumnElement[bool]) -> Any:
    are_free = (table.c.id == given.c.id, table.c.analysis_id.is_(None), when)
    free = sa.select(table.c.id, given.c.analysis_id).where(*are_free)
    locked = free.with_for_update(of=table, skip_locked=True).cte("free")
    return table.update().where(table.c.id == locked.c.id).values(analysis_id=locked.c.analysis_id)


def exists(connection: Connection, condition: sa.ColumnElement[bool]) -> bool:
    """Return whether there is a row that meets a condition."""
    return bool(connection.execute(sa.select(sa.exists().where(condition))).scalar())
