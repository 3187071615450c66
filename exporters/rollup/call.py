"""One ended OpenAI call, and what is unknown about its bill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from telemetry.conventions import QUOTA_USED_UP, SPEND_LIMIT_REACHED, TOO_FAST
from telemetry.pricing.prices import Price, Tokens

from .snapshot import Usage, UsageKey

if TYPE_CHECKING:
    from .accumulator import Accumulator

UNKNOWN_BILL = frozenset({"timeout", "cancelled", "read_error", "502", "504", "520", "524"})
"""Statuses of an attempt that the service may or may not have billed.

The numbers are those of a gateway that gave up waiting for the service.
"""

_NO_TOKENS = Tokens()
_AT_ONCE = ("200",)
"""The attempts of most calls, for which no other counts are needed."""


@dataclass(slots=True)
class Call:
    """One logical OpenAI call that has ended."""

    stage: str
    operation: str
    model: str
    service_tier: str
    ok: bool
    duration_us: int
    statuses: tuple[str, ...] = ()
    """Status of each attempt, in order; empty if the attempts are unknown."""
    backoff_us: int = 0
    retry_after_us: int = 0
    tokens: Tokens | None = None
    """None if the service did not report them."""
    price: Price | None = None
    has_tool_fees: bool = False
    """Whether hosted tools may have been billed, whose fees no answer reports."""
    unmodelled: tuple[str, ...] = ()
    """Names of what is not billed by tokens; if there are any, the call is unpriced."""
    has_unknown_bill: bool = False
    """Whether more may have been billed than the reported tokens."""
    headroom: Sequence[tuple[str, int]] = ()
    """Pairs of a rate limit's name and its remaining share in ten-thousandths."""
    usage_missing: bool = field(init=False)
    """Whether tokens or tools were, or may have been, billed without being reported."""
    unpriced: bool = field(init=False)
    """Whether tokens are known but have no price."""
    added_to: Accumulator | None = field(default=None, init=False, repr=False, compare=False)
    """The accumulator that counted the call; a call is counted once."""

    def __post_init__(self) -> None:
        """Derive what is unknown about the call."""
        self.unpriced = self.tokens is not None and self.price is None
        self.usage_missing = (
            self.has_unknown_bill
            or (self.statuses != _AT_ONCE and _may_be_billed_more(self.statuses))
            or (self.has_tool_fees and self.ok)
            or (self.tokens is None and (self.ok or self.statuses[-1:] == ("200",)))
        )

    @property
    def rate_limit_hits(self) -> int:
        """Attempts that met a rate limit."""
        return self.statuses.count(TOO_FAST)

    @property
    def quota_hits(self) -> int:
        """Attempts refused because the quota was used up."""
        return self.statuses.count(QUOTA_USED_UP)

    @property
    def spend_limit_hits(self) -> int:
        """Attempts refused because a spend limit was reached."""
        return self.statuses.count(SPEND_LIMIT_REACHED)

    @property
    def rate_limit_retries(self) -> int:
        """Attempts directly after one that met a rate limit."""
        return self.statuses[:-1].count(TOO_FAST)

    @property
    def other_retries(self) -> int:
        """Attempts after any other failure."""
        return max(len(self.statuses) - 1, 0) - self.rate_limit_retries

    def key(self) -> UsageKey:
        """Return the key under which the call is summed."""
        version = self.price.version if self.price else ""
        return UsageKey(self.stage, self.operation, self.model, self.service_tier, version)

    def usage(self) -> Usage:
        """Return the usage of this one call."""
        tokens, price = self.tokens or _NO_TOKENS, self.price
        usage = Usage(
            calls=1,
            attempts=len(self.statuses),
            backoff_us=self.backoff_us,
            retry_after_us=self.retry_after_us,
            duration_us=self.duration_us,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cached_tokens=tokens.cached,
            cache_write_tokens=tokens.cache_write,
            reasoning_tokens=tokens.reasoning,
            cost_pico=price.pico if price else 0,
            errors=0 if self.ok else 1,
            unpriced=int(self.unpriced),
            usage_missing=int(self.usage_missing),
            price_source=price.source if price else "",
        )
        if price is not None:
            usage.saved_pico = price.saved_pico
            usage.output_pico = price.output_pico
        usage.unmodelled = int(bool(self.unmodelled) and self.unpriced)
        if self.statuses != _AT_ONCE:
            self._add_attempts(usage)
        return usage

    def _add_attempts(self, usage: Usage) -> None:
        """Add the counts of attempts that were not answered with success."""
        usage.rate_limit_hits = self.rate_limit_hits
        usage.rate_limit_retries = self.rate_limit_retries
        usage.other_retries = self.other_retries
        usage.quota_hits = self.quota_hits
        usage.spend_limit_hits = self.spend_limit_hits


def _may_be_billed_more(statuses: tuple[str, ...]) -> bool:
    """Return whether an attempt before the answered one may have been billed too.

    If an attempt was answered and still repeated, its answer did not arrive in full.
    """
    return not UNKNOWN_BILL.isdisjoint(statuses) or any(status[:1] == "2" for status in statuses[:-1])
