"""The shape of a report, in Python and as JSON; ``docs/reference/report.md`` describes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from .lines import Gap, Job, Money, Period, Range, Spend, Usage, User

VERSION: Final = 1
"""Of the JSON. It is raised when a key is removed or changes its meaning, not when one is added."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a selection of runs."""

    first: date | None
    """None for a single analysis, which is not limited to a period."""
    last: date | None
    """Inclusive."""
    timezone: str
    """The time zone of the days."""
    analysis_id: int | None
    user_id: int | None
    model: str | None
    jobs: int
    users: int
    candidates: int
    completed: int
    """Completely; this and the next six add up to ``jobs``."""
    partial_failures: int
    failed: int
    interrupted: int
    cancelled: int
    running: int
    unknown: int
    """Imported jobs whose ending was not recorded."""
    success_rate: float | None
    """Share of completed jobs among those that ended; without imported and cancelled ones."""
    foreign_runs: int
    """Runs that name an analysis whose row belongs to another user or time, and does not show them."""
    runs: int
    """Runs of any kind but orphan."""
    calls: int
    attempts: int
    rate_limit_hits: int
    quota_hits: int
    spend_limit_hits: int
    orphan_calls: int
    """Calls outside any run."""
    cost: Money
    """Of all calls, including those outside any run."""
    cost_per_job: Decimal | None
    """Dollars, rounded to a pico-dollar: ``cost`` divided by the jobs that were not imported."""
    cost_per_candidate: Decimal | None
    """Dollars, rounded to a pico-dollar: the cost of useful analyses divided by their candidates."""
    cost_per_candidate_complete: bool
    """Whether that includes all of their cost; otherwise it is a lower bound."""
    spend: list[Spend]
    """Lines by purpose, which add up to ``cost``."""
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
    """Mean duration of an OpenAI call, including retries."""
    health_score: float | None
    """Share of the last 50 jobs without an issue, such as a failed part."""
    health: str
    """``good``, ``fair`` or ``poor``; empty if there is no score."""
    models: list[Usage]
    stages: list[Usage]
    period: str
    """Length of the ``periods``: ``day``, ``week`` or ``month``; empty for a single analysis."""
    periods: list[Period]
    active_users: list[User]
    latest: list[Job]

    @property
    def is_empty(self) -> bool:
        """Whether the selection has no run, call or cost."""
        return not (self.runs or self.calls or self.cost.pico or self.gaps)

    @property
    def has_only_orphans(self) -> bool:
        """Whether all calls were made outside any run."""
        return not self.runs and self.orphan_calls > 0

    def to_json(self) -> str:
        """Return it as one JSON object."""
        return json.dumps({"version": VERSION, **_named(self)}, ensure_ascii=False, indent=2)


def _named(shape: object) -> dict[str, object]:
    return {attribute.name: _plain(getattr(shape, attribute.name)) for attribute in fields(shape)}  # type: ignore[arg-type]


def _plain(value: object) -> object:
    """Return a value for JSON: exact dollars are text, times are ISO 8601 in UTC."""
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
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _exact(dollars: Decimal) -> str:
    return f"{dollars:f}"
