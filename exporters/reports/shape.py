"""The shape of a report, which is also that of ``report --json``: see ``docs/reference/report.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from .lines import Gap, Job, Money, Period, Range, Spend, Usage, User

VERSION: Final = 1
"""Of the shape as JSON: it grows when a name goes or changes its meaning, not when one is added."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of what was selected."""

    first: date | None
    """None for one analysis: it counts whenever it was."""
    last: date | None
    """Inclusive."""
    timezone: str
    """Whose days these are."""
    analysis_id: int | None
    user_id: int | None
    model: str | None
    jobs: int
    users: int
    candidates: int
    completed: int
    """Wholly; with the next six it adds up to ``jobs``."""
    partial_failures: int
    failed: int
    interrupted: int
    cancelled: int
    running: int
    unknown: int
    """Jobs of history whose ending nobody recorded."""
    success_rate: float | None
    """Share of wholly completed jobs in those that telemetry saw end, without the cancelled."""
    foreign_runs: int
    """Runs that name an analysis whose row is not theirs, by user or by time: that row does not show them."""
    runs: int
    """Jobs, and what was run before and after them; without the calls outside any run."""
    calls: int
    attempts: int
    rate_limit_hits: int
    quota_hits: int
    spend_limit_hits: int
    orphan_calls: int
    """Calls outside any run."""
    cost: Money
    """Of everything, calls outside any run included."""
    cost_per_job: Decimal | None
    """Dollars, rounded to a pico-dollar: all cost by the jobs that telemetry saw."""
    cost_per_candidate: Decimal | None
    """Dollars, rounded likewise: the cost of the analyses that count, by their candidates."""
    cost_per_candidate_complete: bool
    """Whether it is all that they cost; else it is a lower bound."""
    spend: list[Spend]
    """What the money was spent on: adds up to ``cost``."""
    gaps: list[Gap]
    """Why ``cost`` is not complete."""
    seconds: Range
    batch: Range
    batch_median: float | None
    batches: dict[str, int]
    """Jobs by number of candidates."""
    jd_characters: Range
    resume_characters: Range
    over_limit: int
    overrides: int
    override_rate: float | None
    advice: str
    response_seconds: float | None
    """Mean time of an OpenAI call, retries included."""
    health_score: float | None
    """Share of the last 50 jobs without an issue, such as a failed part."""
    health: str
    """good, fair or poor."""
    models: list[Usage]
    stages: list[Usage]
    period: str
    """What ``periods`` are: day, week or month; empty for one analysis."""
    periods: list[Period]
    active_users: list[User]
    latest: list[Job]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return not (self.runs or self.calls or self.cost.pico or self.gaps)

    @property
    def has_only_orphans(self) -> bool:
        """Whether calls were made, and none of them in a run."""
        return not self.runs and self.orphan_calls > 0

    def to_json(self) -> str:
        """Return it as one JSON object."""
        return json.dumps({"version": VERSION, **_named(self)}, ensure_ascii=False, indent=2)


def _named(shape: object) -> dict[str, object]:
    return {each.name: _plain(getattr(shape, each.name)) for each in fields(shape)}  # type: ignore[arg-type]


def _plain(value: object) -> object:
    """Return what JSON knows: exact dollars are text, times are ISO 8601 in UTC."""
    if isinstance(value, Money):
        dollars = None if value.dollars is None else _exact(value.dollars)
        return {"pico": value.pico, "dollars": dollars, "complete": value.complete}
    if is_dataclass(value):
        return _named(value)
    if isinstance(value, Decimal):
        return _exact(value)
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def _exact(dollars: Decimal) -> str:
    return f"{dollars:f}"
