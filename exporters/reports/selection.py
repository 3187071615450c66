"""What a report is about: a period or an analysis, and perhaps one user or some models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from exporters.sql.database.days import Day
from exporters.sql.schema import tables

_TOKENS: Final = (
    *("input_tokens", "cached_tokens", "cache_write_tokens"),
    *("output_tokens", "reasoning_tokens"),
)

jobs: Final = sa.table(
    "telemetry_jobs",
    *map(sa.column, ("run_id", "kind", "analysis_ref", "user_ref", "status", "status_reason", "started_at")),
    sa.column("ended_at"),
    *map(sa.column, ("duration_seconds", "candidates", "criteria")),
    *map(sa.column, ("jd_characters", "resume_characters", "n_documents")),
    *map(sa.column, ("n_scored", "n_failed", "resume_characters_min", "resume_characters_max", "score_avg")),
    *map(sa.column, ("api_calls", "rate_limit_hits", "quota_hits", "spend_limit_hits")),
    *map(sa.column, ("cost_pico", "cost_complete")),
    *map(sa.column, ("error_types", "error_count", "trace_id", "trace_sampled")),
    *map(sa.column, ("exceeded_resume_limit", "user_chose_override")),
)
spend: Final = sa.table(
    "telemetry_run_spend",
    *map(sa.column, ("run_id", "kind", "status", "user_ref", "analysis_ref", "started_at", "candidates")),
    *map(sa.column, ("spend_class", "cost_pico", "cost_complete")),
)
"""All runs, including those before and after an analysis."""
stages: Final = sa.table(
    "telemetry_stages",
    *map(sa.column, ("run_id", "kind", "user_ref", "started_at", "stage", "operation", "model")),
    *map(sa.column, ("calls", "attempts", "errors", "rate_limit_hits", "cost_pico", "duration_seconds")),
    *map(sa.column, (*_TOKENS, "unpriced", "unmodelled", "usage_missing")),
    *map(sa.column, ("quota_hits", "spend_limit_hits")),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which runs a report is about, and which of their calls."""

    zone: ZoneInfo
    first: Day
    last: Day
    analysis_id: int | None = None
    """Only the runs of this analysis, regardless of the period."""
    user_id: int | None = None
    model: str | None = None
    """A glob: only runs that called a matching model, and only their calls to it and their cost."""
    failed: bool = False
    """List the latest failed jobs instead of the latest."""

    @property
    def is_of_a_period(self) -> bool:
        """Whether it selects by days."""
        return self.analysis_id is None

    def spend(self) -> sa.FromClause:
        """Return the selected runs with their cost."""
        return self._chosen(spend, ("cost_pico", "cost_complete"))

    def jobs(self) -> sa.FromClause:
        """Return the selected jobs."""
        return self._chosen(jobs, ("cost_pico", "cost_complete", "api_calls", "rate_limit_hits"))

    def of_stages(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on ``stages``."""
        conditions = [stages.c.model.like(_like(self.model), escape="\\")] if self.model else []
        if self.is_of_a_period:
            return [*conditions, *self._conditions(stages)]
        return [*conditions, stages.c.run_id.in_(sa.select(spend.c.run_id).where(*self._conditions(spend)))]

    def of_runs(self) -> list[sa.ColumnElement[bool]]:
        """Return the conditions on ``telemetry_runs``."""
        run = tables.runs.c
        conditions = [sa.not_(run.synthetic), *self._conditions(tables.runs)]
        if self.model:
            part = tables.stage_usage.c
            called = sa.select(part.run_id).where(part.model.like(_like(self.model), escape="\\"))
            conditions.append(run.run_id.in_(called))
        return conditions

    def _conditions(self, source: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        if self.analysis_id is not None:
            return [source.c.analysis_ref == self.analysis_id]
        conditions = [between(source.c.started_at, self.first.start, self.last.end)]
        return conditions if self.user_id is None else [*conditions, source.c.user_ref == self.user_id]

    def _chosen(self, view: sa.TableClause, of_model: tuple[str, ...]) -> sa.FromClause:
        """Return the selected rows of a view; with a model, columns in ``of_model`` count only its calls."""
        if self.model is None:
            return sa.select(view).where(*self._conditions(view)).subquery("chosen")
        part = self._calls_of_model()
        columns = [part.c[name] if name in of_model else view.c[name] for name in view.c.keys()]
        joined = view.join(part, part.c.run_id == view.c.run_id)
        return sa.select(*columns).select_from(joined).where(*self._conditions(view)).subquery("chosen")

    def _calls_of_model(self) -> sa.Subquery:
        """Return the sums over the calls to the model, by run.

        A call without a known end may have been to this model; then the cost is not complete.
        """
        part, run = tables.stage_usage.c, tables.runs.c
        gaps = sa.func.sum(part.unpriced + part.usage_missing)
        others = sa.and_(run.unpriced + run.usage_missing > 0, run.unclosed == 0, run.ended_at.is_not(None))
        certain = sa.and_(run.unfinished == 0, sa.or_(run.cost_complete, others))
        complete = sa.and_(gaps == 0, sa.func.min(sa.case((certain, 1), else_=0)) == 1)
        return (
            sa.select(
                part.run_id,
                sa.func.sum(sa.func.coalesce(part.repriced_pico, part.cost_pico)).label("cost_pico"),
                complete.label("cost_complete"),
                sa.func.sum(part.calls).label("api_calls"),
                sa.func.sum(part.rate_limit_hits).label("rate_limit_hits"),
            )
            .select_from(tables.stage_usage.join(tables.runs, run.run_id == part.run_id))
            .where(part.model.like(_like(self.model or "*"), escape="\\"))
            .where(*self._conditions(tables.runs))
            .group_by(part.run_id)
            .subquery("part")
        )


def this_month(zone: ZoneInfo, today: Day) -> Selection:
    """Return the runs of the month of ``today``."""
    return Selection(zone, Day.of(today.date.replace(day=1), zone), today)


def last_days(zone: ZoneInfo, last: Day, days: int) -> Selection:
    """Return the runs of so many calendar days up to ``last``, which is one of them."""
    return Selection(zone, Day.of(last.date - timedelta(days=days - 1), zone), last)


def between(column: sa.ColumnElement[Any], start: datetime, end: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a time is in a period: the start inclusive, the end exclusive."""
    return sa.and_(
        column >= sa.bindparam(None, start, type_=sa.DateTime()),
        column < sa.bindparam(None, end, type_=sa.DateTime()),
    )


def _like(glob: str) -> str:
    """Return the LIKE pattern of a glob with ``*`` and ``?``."""
    literal = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return literal.replace("*", "%").replace("?", "_")
