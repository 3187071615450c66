"""Jobs over the limit, refused or interrupted, for reports, findings and gauges alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from telemetry.conventions import INTERRUPTED

from .selection import Selection


class Refused(NamedTuple):
    """Answers 429 of one meaning."""

    jobs: int
    """The jobs that met any."""
    hits: int


class Troubled(NamedTuple):
    """The jobs that were refused or interrupted."""

    interrupted: int
    rate_limit: Refused
    quota: Refused
    spend_limit: Refused


def overrides(connection: Connection, selection: Selection) -> tuple[int, int]:
    """Return the number of jobs over the limit, and how many of them were run all the same."""
    job = selection.jobs().c
    row = connection.execute(sa.select(*over_limit_columns(job))).one()
    return row.over_limit, row.overrides


def over_limit_columns(job: Any) -> Sequence[sa.ColumnElement[Any]]:
    """Return the same two numbers as columns of a query for jobs."""
    overridden = sa.and_(job.exceeded_resume_limit, job.user_chose_override)
    return (
        _number_of(job.exceeded_resume_limit).label("over_limit"),
        _number_of(overridden).label("overrides"),
    )


def troubled(connection: Connection, selection: Selection) -> Troubled:
    """Return the jobs that were refused or interrupted."""
    job = selection.jobs().c
    columns = (job.rate_limit_hits, job.quota_hits, job.spend_limit_hits)
    query = sa.select(
        _number_of(job.status == INTERRUPTED),
        *(_number_of(column > 0) for column in columns),
        *(sa.func.coalesce(sa.func.sum(column), 0) for column in columns),
    )
    interrupted, *counts = (int(count) for count in connection.execute(query).one())
    return Troubled(interrupted, *map(Refused, counts[:3], counts[3:]))


def last_ended(connection: Connection, selection: Selection, statuses: Sequence[str]) -> datetime | None:
    """Return when the last of the jobs with one of ``statuses`` ended; None if none has."""
    job = selection.jobs().c
    ended: datetime | None = connection.execute(
        sa.select(sa.func.max(job.ended_at, type_=sa.DateTime())).where(job.status.in_(statuses))
    ).scalar()
    return ended


def _number_of(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.count(sa.case((condition, 1)))
