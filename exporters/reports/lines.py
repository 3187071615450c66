"""The parts of a report: amounts of money, and the lines of its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from telemetry.pricing.prices import to_dollars


@dataclass(frozen=True, slots=True)
class Money:
    """An amount that was spent; a lower bound if the cost of some calls is not known."""

    pico: int = 0
    """The known part, in pico-dollars."""
    complete: bool = True
    """Whether that is all of it."""

    @classmethod
    def of(cls, pico: int | Decimal | None, incomplete: int | bool) -> Money:
        """Return a sum from the database, which is NULL if nothing is known, as for imported jobs."""
        return cls(0, complete=False) if pico is None else cls(int(pico), not incomplete)

    @property
    def is_known(self) -> bool:
        """Whether any of it is known: an unknown amount is not zero."""
        return self.complete or self.pico != 0

    @property
    def dollars(self) -> Decimal | None:
        """The exact amount; None if it is unknown."""
        return to_dollars(self.pico) if self.is_known else None

    def __add__(self, other: Money) -> Money:
        return Money(self.pico + other.pico, self.complete and other.complete)


@dataclass(frozen=True, slots=True)
class Range:
    """Mean, minimum and maximum of a value; None if nothing is known."""

    mean: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Spend:
    """One of the lines that add up to the total spending."""

    name: str
    """One of :data:`SPENT_ON`, or a kind of run that the application declares."""
    runs: int
    cost: Money
    wasted: bool
    """Whether it bought nothing that was kept."""


SPENT_ON: Final = (
    *("analyses", "intake", "late", "other", "history"),
    *("failed", "cancelled", "interrupted", "repeated", "unused_intake"),
    *("orphan", "running"),
)
"""Purposes of spending, in the order of a report; ``docs/reference/report.md`` explains them."""
WASTE: Final = ("failed", "cancelled", "interrupted", "repeated", "unused_intake")
"""Purposes that bought nothing that was kept."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Calls or runs whose cost is missing in the sum."""

    reason: str
    """One of :data:`GAPS`."""
    model: str | None
    """None if it is not known."""
    calls: int | None
    """None if their number is not known."""
    runs: int | None = None
    """The runs that made them, if the number of calls is not known."""


GAPS: Final = ("unpriced", "unmodelled", "usage_missing", "unfinished", "running", "unknown_end", "history")
"""Reasons why a cost is not known. The first three are listed by model."""


@dataclass(slots=True)
class Usage:
    """Calls, tokens and money of a stage or a model."""

    name: str
    seconds: float = 0.0
    """How long the stage was open; for a model, the sum over its calls."""
    calls: int = 0
    attempts: int = 0
    rate_limit_hits: int = 0
    """Answers 429 because of too many requests in a time."""
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
    """Unpriced calls that are not billed by tokens."""
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
    """The jobs of one user."""

    user: int
    jobs: int
    candidates: int
    cost: Money
    is_missing: bool = False
    """Whether the application has no row of this user; the id is known only from runs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One analysis: its run and its intake."""

    run_id: str
    analysis: int | None
    user: int | None
    status: str
    reason: str
    """Why it did not succeed; empty if that is not known."""
    started_at: datetime
    seconds: float | None
    candidates: int | None
    done: int | None
    """Documents scored or failed; None for imported jobs, and if a part of the run reported none."""
    score: float | None
    calls: int | None
    """None for imported jobs, as is ``rate_limit_hits``."""
    rate_limit_hits: int | None
    cost: Money
    errors: dict[str, int]
    """Errors marked by the application, by type and stage; failed calls are in ``stages``."""
    trace_id: str | None
    trace_sampled: bool | None
    """Whether the trace was exported."""
    is_foreign: bool = False
    """Whether the row of its analysis belongs to another user or time, and does not show it."""
