"""The tables of the daily log, of claims of daily tasks, and of figures that one process computes for all."""

from __future__ import annotations

import sqlalchemy as sa

from ..columns import DOLLARS, SECONDS, column
from .kinds import count, metadata, moment, sum_of

found = sa.Table(
    "telemetry_found",
    metadata,
    column("name", sa.String(64), "What was looked for, such as `integrity`.", primary_key=True),
    moment("asked_at", "When a process began to look."),
    column("figures", sa.Text(), "JSON: what it found."),
)
"""What one process found out for all, as JSON; ``asked_at`` is when it began to look."""

system_health_log = sa.Table(
    "system_health_log",
    metadata,
    column("id", sa.Integer(), "Id of the row.", primary_key=True),
    column("log_date", sa.Date(), "The day, of TELEMETRY_TIMEZONE.", nullable=False, unique=True),
    count("jobs_completed", "jobs", "Analyses that began on the day and succeeded, at least in part."),
    count("jobs_failed", "jobs", "Those that failed or were interrupted."),
    column("avg_processing_time", sa.Numeric(12, 3), "Mean duration of those that ended.", SECONDS),
    column(
        "total_api_spend",
        sa.Numeric(20, 12),
        "What all runs that began on the day cost; NULL: all are history, whose cost is unknown.",
        DOLLARS,
    ),
    count("rate_limit_incidents", "runs", "Runs that met a rate limit."),
    column("error_types", sa.Text(), "JSON: how often each type."),
    column("peak_concurrent_jobs", sa.Integer(), "Analyses under way at once, at most.", "jobs"),
    count("total_candidates_processed", "candidates", "Candidates of the analyses that ended."),
    sum_of("total_api_calls", "calls", "Calls of all runs that began on the day."),
)
"""One row a day, written by the daily check."""

daily_tasks = sa.Table(
    "telemetry_daily_tasks",
    metadata,
    column("day", sa.Date(), "The day it is about.", primary_key=True),
    column(
        "task",
        sa.String(160),
        "The daily check, or a finding and a hash of its recipient.",
        primary_key=True,
    ),
    column("claimed_at", sa.DateTime(), "When a process began with it.", nullable=False),
    moment("done_at", "When it was done."),
)
"""What one process did, or is about to do, for a day, so that no other does it again."""
