"""The selection of jobs to export, and their columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from exporters.sql.database.statements import Row

SEGMENTS: Final = ("all", "new", "active", "power")
BATCH_SIZES: Final = ("all", "small", "medium", "large")

COLUMNS: Final = (
    *("run_id", "kind", "analysis_ref", "user_ref", "status", "status_reason", "started_at", "ended_at"),
    *(
        "duration_seconds",
        "queue_wait_seconds",
        "candidates",
        "criteria",
        "batch_size",
        "jd_bytes",
        "jd_characters",
    ),
    *("n_documents", "n_scored", "n_failed", "n_duplicates", "resume_bytes", "resume_characters"),
    *(
        "resume_characters_min",
        "resume_characters_max",
        "score_avg",
        "score_median",
        "score_min",
        "score_max",
    ),
    *("above_70", "from_50_to_70", "below_50", "api_calls", "attempts", "rate_limit_hits"),
    *(
        "rate_limit_retries",
        "other_retries",
        "quota_hits",
        "spend_limit_hits",
        "backoff_seconds",
        "input_tokens",
        "output_tokens",
    ),
    *(
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost_pico",
        "cost_dollars",
        "cost_complete",
    ),
    *("error_count", "error_types", "exceeded_resume_limit", "user_chose_override"),
    *("is_new_user", "is_active_user", "is_power_user", "trace_id"),
)
_jobs: Final = sa.table("telemetry_jobs", *(sa.column(name) for name in COLUMNS))
_stages: Final = sa.table(
    "telemetry_stages", *map(sa.column, ("run_id", "model", "cost_pico", "cost_dollars"))
)
_MONEY: Final = ("cost_pico", "cost_dollars")
_users: Final = sa.table("users", sa.column("id"), sa.column("email"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Selects jobs by start, user and segment, number of candidates, and the model that they called."""

    since: datetime | None = None
    """Naive UTC, inclusive."""
    until: datetime | None = None
    """Naive UTC, exclusive."""
    segment: str = "all"
    """One of :data:`SEGMENTS`."""
    batch_size: str = "all"
    """One of :data:`BATCH_SIZES`."""
    user: int | None = None
    """Only jobs of this user."""
    model: str | None = None
    """Only jobs that called this model, and of their cost that of these calls."""
    with_emails: bool = False
    """Whether to add the e-mail addresses of the users."""

    def query(self, last: Row | None = None) -> sa.Select[Any]:
        """Return the query for the jobs, the oldest first, starting after the row ``last`` if it is given."""
        columns = [self._column(name) for name in COLUMNS]
        chosen: Any = _jobs
        if self.with_emails:
            columns.append(_users.c.email)
            chosen = _jobs.outerjoin(_users, _users.c.id == _jobs.c.user_ref)
        query = sa.select(*columns).select_from(chosen).where(*self._conditions())
        place = (_jobs.c.started_at, _jobs.c.run_id)
        if last is not None:
            query = query.where(sa.tuple_(*place) > sa.tuple_(last["started_at"], last["run_id"]))
        return query.order_by(*place)

    def _column(self, name: str) -> sa.ColumnElement[Any]:
        if self.model is None or name not in _MONEY:
            return _jobs.c[name]
        cost = sa.select(sa.func.sum(_stages.c[name])).where(*self._calls())
        return cost.scalar_subquery().label(name)

    def _calls(self) -> tuple[sa.ColumnElement[bool], ...]:
        """Return the conditions on the calls of a job to the model."""
        return _stages.c.run_id == _jobs.c.run_id, _stages.c.model == self.model

    def count(self) -> sa.Select[Any]:
        """Return the query for the number of jobs."""
        return sa.select(sa.func.count()).select_from(_jobs).where(*self._conditions())

    def _conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        if self.since is not None:
            yield _jobs.c.started_at >= sa.bindparam("since", self.since, type_=sa.DateTime())
        if self.until is not None:
            yield _jobs.c.started_at < sa.bindparam("until", self.until, type_=sa.DateTime())
        if self.segment != "all":
            yield _jobs.c[f"is_{self.segment}_user"]
        if self.user is not None:
            yield _jobs.c.user_ref == self.user
        if self.model is not None:
            yield sa.select(_stages.c.run_id).where(*self._calls()).exists()
        if self.batch_size != "all":
            yield _jobs.c.batch_size == self.batch_size


class BadSelection(ValueError):
    """A field of a selection has an unknown value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason
