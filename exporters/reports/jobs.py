"""Figures of jobs: their number, size, duration and status; their users; the latest of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.statements import Row
from exporters.sql.schema import tables
from telemetry.conventions import CANCELLED, COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE, RUNNING, UNKNOWN

from .lines import Job, Money, Range, User
from .periods import IMPORT, JOB_KINDS
from .selection import Selection
from .trouble import over_limit_columns

LATEST: Final = 20
MOST_ACTIVE: Final = 10
BINS: Final = (
    ("1-10", 1, 10),
    ("11-50", 11, 50),
    ("51-100", 51, 100),
    ("101-200", 101, 200),
    ("200+", 201, None),
)
ENDINGS: Final = {
    "completed": COMPLETED,
    "partial_failures": PARTIAL_FAILURE,
    "failed": FAILED,
    "interrupted": INTERRUPTED,
    "cancelled": CANCELLED,
    "running": RUNNING,
    "unknown": UNKNOWN,
}
"""Statuses of jobs by the field of a report. Every job has one of them."""


def totals(connection: Connection, selection: Selection) -> Row:
    """Return counts of jobs, and mean, minimum and maximum of their columns."""
    job = selection.jobs().c
    seen = job.kind != IMPORT
    ended = job.status.in_((COMPLETED, PARTIAL_FAILURE, FAILED, INTERRUPTED))
    query = sa.select(
        sa.func.count().label("jobs"),
        sa.func.count(sa.distinct(job.user_ref)).label("users"),
        sa.func.sum(job.candidates).label("candidates"),
        *(_number_of(job.status == status).label(name) for name, status in ENDINGS.items()),
        _number_of(seen).label("seen_jobs"),
        _number_of(sa.and_(seen, job.status == COMPLETED)).label("seen_completed"),
        _number_of(sa.and_(seen, ended)).label("seen_ended"),
        *over_limit_columns(job),
        *_aggregates("seconds", job.duration_seconds),
        *_aggregates("batch", job.candidates),
        *_aggregates("jd", job.jd_characters),
        sa.func.sum(job.resume_characters).label("resume_sum"),
        sa.func.sum(sa.case((job.resume_characters.is_not(None), job.n_documents))).label("resumes"),
        sa.func.min(job.resume_characters_min).label("resume_least"),
        sa.func.max(job.resume_characters_max).label("resume_most"),
    )
    return dict(connection.execute(query).mappings().one())


def sizes(connection: Connection, selection: Selection) -> list[tuple[int, int]]:
    """Return pairs of a number of candidates and the number of jobs that had it, sorted."""
    job = selection.jobs().c
    query = (
        sa.select(job.candidates, sa.func.count())
        .where(job.candidates > 0)
        .group_by(job.candidates)
        .order_by(job.candidates)
    )
    return [(size, count) for size, count in connection.execute(query)]


def active_users(connection: Connection, selection: Selection) -> list[User]:
    """Return the users with the most jobs."""
    run = selection.spend().c
    is_job = run.kind.in_(JOB_KINDS)
    query = (
        sa.select(
            run.user_ref,
            _number_of(is_job).label("jobs"),
            sa.func.sum(sa.case((is_job, run.candidates))),
            sa.func.sum(run.cost_pico),
            _number_of(sa.not_(run.cost_complete)),
        )
        .where(run.user_ref.is_not(None))
        .group_by(run.user_ref)
        .order_by(sa.desc("jobs"), run.user_ref)
        .limit(MOST_ACTIVE)
    )
    rows = connection.execute(query).all()
    missing = _missing(connection, [row[0] for row in rows])
    return [
        User(user, count, int(candidates or 0), Money.of(pico, incomplete), user in missing)
        for user, count, candidates, pico, incomplete in rows
    ]


def _missing(connection: Connection, users: Sequence[int]) -> set[int]:
    """Return the users whose row was missing when their runs ended."""
    run, known = tables.runs.c, tables.users.c
    query = (
        sa.select(run.user_ref)
        .select_from(tables.runs.outerjoin(tables.users, known.user_ref == run.user_ref))
        .where(run.user_ref.in_(users), known.user_ref.is_(None))
        .group_by(run.user_ref)
        .having(sa.func.max(run.user_version) > 0)
    )
    return set(connection.execute(query).scalars())


_IS_FOREIGN: Final = sa.and_(tables.runs.c.analysis_gone, tables.runs.c.analysis_seen_at.is_(None))
"""The row of its analysis is not its own, by user or by time."""


def foreign_runs(connection: Connection, selection: Selection) -> int:
    """Return how many runs name an analysis whose row is not their own."""
    query = sa.select(sa.func.count()).select_from(tables.runs).where(*selection.of_runs(), _IS_FOREIGN)
    return int(connection.execute(query).scalar_one())


def latest(connection: Connection, selection: Selection) -> list[Job]:
    """Return the latest jobs, or the latest failures."""
    source = selection.jobs()
    query = sa.select(source).order_by(source.c.started_at.desc(), source.c.run_id).limit(LATEST)
    if selection.failed:
        query = query.where(source.c.status.in_((FAILED, INTERRUPTED, PARTIAL_FAILURE)))
    rows = [dict(row) for row in connection.execute(query).mappings()]
    of_these = tables.runs.c.run_id.in_([row["run_id"] for row in rows])
    foreign = set(connection.execute(sa.select(tables.runs.c.run_id).where(of_these, _IS_FOREIGN)).scalars())
    return [_job(row, row["run_id"] in foreign) for row in rows]


def _job(row: Row, is_foreign: bool) -> Job:
    errors: Iterable[Row] = json.loads(row["error_types"] or "[]")
    sampled = row["trace_sampled"]
    return Job(
        run_id=row["run_id"],
        analysis=row["analysis_ref"],
        user=row["user_ref"],
        status=row["status"],
        reason=row["status_reason"] or "",
        started_at=_moment(row["started_at"]),
        seconds=None if row["duration_seconds"] is None else float(row["duration_seconds"]),
        candidates=row["candidates"],
        done=None if row["n_scored"] is None else row["n_scored"] + row["n_failed"],
        score=None if row["score_avg"] is None else float(row["score_avg"]),
        calls=row["api_calls"],
        rate_limit_hits=row["rate_limit_hits"],
        cost=Money.of(row["cost_pico"], not row["cost_complete"]),
        errors={f"{error['type']} in {error['stage']}": error["count"] for error in errors},
        trace_id=row["trace_id"],
        trace_sampled=None if sampled is None else bool(sampled),
        is_foreign=is_foreign,
    )


def _moment(value: Any) -> datetime:
    """Return a time; SQLite returns those of views as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _number_of(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.count(sa.case((condition, 1)))


def _aggregates(name: str, column: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
    return [
        sa.func.avg(column).label(f"{name}_mean"),
        sa.func.min(column).label(f"{name}_least"),
        sa.func.max(column).label(f"{name}_most"),
    ]


def range_of(row: Row, name: str) -> Range:
    """Return the range of ``name`` in the row of :func:`totals`."""
    values = (row[f"{name}_{part}"] for part in ("mean", "least", "most"))
    return Range(*(None if value is None else float(value) for value in values))


def resumes(row: Row) -> Range:
    """Return the range of the lengths of résumés, in characters."""
    mean = int(row["resume_sum"]) / int(row["resumes"]) if row["resumes"] else None
    least, most = row["resume_least"], row["resume_most"]
    return Range(mean, None if least is None else float(least), None if most is None else float(most))


def median(sizes: Sequence[tuple[int, int]]) -> float | None:
    """Return the median of sizes, given as pairs of a size and its frequency."""
    total = sum(count for _, count in sizes)
    if not total:
        return None
    middle = [(total - 1) // 2, total // 2]
    values, passed = [], 0
    for size, count in sizes:
        values += [size for place in middle if passed <= place < passed + count]
        passed += count
    return sum(values) / 2


def bins(sizes: Sequence[tuple[int, int]]) -> dict[str, int]:
    """Return the number of jobs by size, as :data:`BINS` groups them."""
    return {
        name: sum(count for size, count in sizes if size >= least and (most is None or size <= most))
        for name, least, most in BINS
    }
