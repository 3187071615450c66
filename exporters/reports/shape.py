"""The shape of a report, which is also that of ``report --json``: see ``docs/reference/report.md``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from telemetry.pricing.prices import to_dollars

VERSION: Final = 1
"""Of the shape as JSON: it grows when a name goes or changes its meaning, not when one is added."""


@dataclass(frozen=True, slots=True)
class Money:
    """What was spent; a lower bound where the cost of some calls is not known."""

    pico: int = 0
    """Pico-dollars that are known."""
    complete: bool = True
    """Whether this is all."""

    @classmethod
    def of(cls, pico: int | Decimal | None, incomplete: int | bool) -> Money:
        """Return a sum of the database's: NULL where nothing is known, as of history."""
        return cls(0, complete=False) if pico is None else cls(int(pico), not incomplete)

    @property
    def is_known(self) -> bool:
        """Whether anything is known: nothing at all is no zero."""
        return self.complete or self.pico != 0

    @property
    def dollars(self) -> Decimal | None:
        """The exact amount; None where it is unknown."""
        return to_dollars(self.pico) if self.is_known else None

    def __add__(self, other: Money) -> Money:
        return Money(self.pico + other.pico, self.complete and other.complete)


@dataclass(frozen=True, slots=True)
class Range:
    """Mean, smallest and largest of something; None where nothing is known."""

    mean: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """One of the lines that add up to what was spent."""

    name: str
    """One of :data:`SPENT_ON`, or a kind of run that the application added."""
    runs: int
    cost: Money
    wasted: bool
    """Whether it bought nothing that anybody kept."""


SPENT_ON: Final = (
    *("analyses", "intake", "late", "other", "history"),
    *("failed", "cancelled", "interrupted", "repeated", "unused_intake"),
    *("orphan", "running"),
)
"""What money is spent on, in the order of a report. ``docs/reference/report.md`` has the meanings."""
WASTE: Final = ("failed", "cancelled", "interrupted", "repeated", "unused_intake")
"""Classes of money that bought nothing anybody kept."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Calls or runs whose cost is not in the sum."""

    reason: str
    """One of :data:`GAPS`."""
    model: str | None
    """None: it is not known which."""
    calls: int | None
    """None: it is not known how many."""
    runs: int | None = None
    """Where the calls are not known: the runs that made them."""


GAPS: Final = ("unpriced", "unmodelled", "usage_missing", "unfinished", "running", "unknown_end", "history")
"""Why a cost is not known. The first three are told of each model."""


@dataclass(slots=True)
class Usage:
    """Calls, tokens and money of a stage or a model."""

    name: str
    seconds: float = 0.0
    """How long the stage was open; of a model, the time of its calls added up."""
    calls: int = 0
    attempts: int = 0
    rate_limit_hits: int = 0
    """Answers 429 because requests came too fast."""
    quota_hits: int = 0
    """Answers 429 because the quota was used up."""
    spend_limit_hits: int = 0
    """Answers 429 because a spend limit was reached."""
    failed_calls: int = 0
    """Calls that ended without an answer."""
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    unpriced: int = 0
    unmodelled: int = 0
    """Of those unpriced, the ones that cost otherwise than their tokens say."""
    usage_missing: int = 0
    cost: Money = field(default_factory=Money)


@dataclass(frozen=True, slots=True)
class Period:
    """A day, a week or a month; the first and the last may be shorter."""

    first: date
    last: date
    """Inclusive."""
    jobs: int = 0
    failed: int = 0
    interrupted: int = 0
    partial_failures: int = 0
    cost: Money = field(default_factory=Money)


@dataclass(frozen=True, slots=True)
class User:
    """What a user did."""

    user: int
    jobs: int
    candidates: int
    cost: Money
    is_missing: bool = False
    """Whether the application has no row of the user's: the number is only what its runs said."""


@dataclass(frozen=True, slots=True)
class Job:
    """One analysis."""

    run_id: str
    analysis: int | None
    user: int | None
    status: str
    reason: str
    """Why it is no success; empty where nobody knows."""
    started_at: datetime
    seconds: float | None
    candidates: int | None
    done: int | None
    """Documents scored or failed; None where a part of the run told none, and of history."""
    score: float | None
    calls: int | None
    """None of history, as are its 429s."""
    rate_limit_hits: int | None
    cost: Money
    errors: dict[str, int]
    """Those that the application marked, by type and stage; calls that failed are in ``stages``."""
    trace_id: str | None
    trace_sampled: bool | None
    """Whether the trace was exported."""
    is_foreign: bool = False
    """Whether the row of its analysis is not its own, by user or by time: that row does not show it."""


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
