"""Charges intake runs to the first analysis of their subject."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.rollup.snapshot import NewerSnapshot
from exporters.sql.database.engine import transaction
from exporters.sql.schema.tables import runs

from .runs import fragments_of


def claim_intake(engine: Engine, run_id: str) -> list[str]:
    """Charge the intake runs of a subject to its first linked analysis; return those that were charged.

    This is called after T1 for both intake and analysis, because either may be delivered last. Intake that
    was charged to a later analysis, whose process was faster, moves to the first one.
    """
    with transaction(engine) as connection:
        run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).mappings().one_or_none()
        if run is None or run["subject"] is None:
            return []
        analysis = _first_analysis(connection, run)
        if analysis is None:
            return []
        charged_before = _charged_to_later(connection, run, analysis)
        claimed = [*_unclaimed_intakes(connection, run), *charged_before]
        for intake in claimed:
            change = {**_SHOWN_NOWHERE, "analysis_ref": analysis, "version": runs.c.version + 1}
            connection.execute(runs.update().where(runs.c.run_id == intake).values(change))
        others = sorted(set(charged_before.values()))
        shown_there = sa.and_(runs.c.kind == "analysis", runs.c.analysis_ref.in_(others))
        if others:
            connection.execute(runs.update().where(shown_there).values(version=runs.c.version + 1))
        return claimed


_SHOWN_NOWHERE: dict[str, Any] = {
    "analysis_seen_at": None,
    "analysis_created_at": None,
    "projected_version": 0,
    "files_pending": 0,
}
"""Values of a run that no row of the host shows yet."""


def _first_analysis(connection: Connection, run: Any) -> int | None:
    query = (
        sa.select(runs.c.analysis_ref)
        .where(runs.c.kind == "analysis", runs.c.subject == run["subject"], runs.c.analysis_ref.is_not(None))
        .where(runs.c.user_ref.is_not_distinct_from(run["user_ref"]))
        .order_by(runs.c.started_at, runs.c.run_id)
        .limit(1)
    )
    return connection.execute(query).scalar()


def _charged_to_later(connection: Connection, run: Any, first: int) -> dict[str, int]:
    """Return the intakes that were charged to later analyses of the subject, with these analyses."""
    same_subject = sa.and_(
        runs.c.subject == run["subject"], runs.c.user_ref.is_not_distinct_from(run["user_ref"])
    )
    others = sa.select(runs.c.analysis_ref).where(
        same_subject, runs.c.kind == "analysis", runs.c.analysis_ref != first
    )
    query = (
        sa.select(runs.c.run_id, runs.c.analysis_ref)
        .where(same_subject, runs.c.kind == "intake", runs.c.analysis_ref.in_(others))
        .order_by(runs.c.run_id)
        .with_for_update(skip_locked=True)
    )
    charged = {run_id: analysis for run_id, analysis in connection.execute(query)}
    return {run_id: charged[run_id] for run_id in charged if not _is_linked(connection, run_id)}


def _is_linked(connection: Connection, run_id: str) -> bool:
    """Return whether the application linked a run itself; True if only a newer version can tell."""
    try:
        return any(part.analysis_id is not None for part in fragments_of(connection, run_id, None))
    except NewerSnapshot:
        return True


def _unclaimed_intakes(connection: Connection, run: Any) -> list[str]:
    query = (
        sa.select(runs.c.run_id)
        .where(runs.c.kind == "intake", runs.c.subject == run["subject"], runs.c.analysis_ref.is_(None))
        .where(runs.c.user_ref.is_not_distinct_from(run["user_ref"]))
        .order_by(runs.c.run_id)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query).scalars())
