"""The view `telemetry_jobs`, as the queries for findings need it."""

from __future__ import annotations

import datetime as dt
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from exporters.reports import selection

_names = ("kind", "started_at", "status", "duration_seconds", "queue_wait_seconds", "cost_pico")
_others = ("cost_complete", "candidates")
jobs_view: Final = sa.table("telemetry_jobs", *map(sa.column, (*_names, *_others)))


def day_name(day: dt.date) -> str:
    """Return a day with its weekday."""
    return f"{day:%A, %Y-%m-%d}"


def between(start: datetime, end: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a job began in a period: the start inclusive, the end exclusive."""
    return selection.between(jobs_view.c.started_at, start, end)
