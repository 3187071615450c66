"""One logical OpenAI call that ended, and what is not known of its bill."""

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
"""Ends of an attempt after which nobody can tell whether the service billed it.

The numbers are said by a gateway before the service, of an answer that it waited for.
"""

_NO_TOKENS = Tokens()
_AT_ONCE = ("200",)
"""The attempts of most calls: spared what there is to count otherwise."""


@dataclass(slots=True)
class Call:
    """One logical OpenAI call that ended."""

    stage: str
    operation: str
    model: str
    service_tier: str
    ok: bool
    duration_us: int
    statuses: tuple[str, ...] = ()
    """Status of each attempt, in order; empty when the attempts are unknown."""
    backoff_us: int = 0
    retry_after_us: int = 0
    tokens: Tokens | None = None
    """None when the service did not say."""
    price: Price | None = None
    has_tool_fees: bool = False
    """Whether tools of the service may have been billed, of which no answer tells how much."""
    unmodelled: tuple[str, ...] = ()
    """What costs otherwise than the tokens say: then there is no price."""
    has_unknown_bill: bool = False
    """Whether more may have been billed than the tokens say."""
    headroom: Sequence[tuple[str, int]] = ()
    """Ten-thousandths that were left of a rate limit, beside its name."""
    usage_missing: bool = field(init=False)
    """Whether tokens or tools were, or may have been, billed that nobody reported."""
    unpriced: bool = field(init=False)
    """Whether tokens are known but their price is not."""
    added_to: Accumulator | None = field(default=None, init=False, repr=False, compare=False)
    """Where it was counted: once, however often that is tried."""

    def __post_init__(self) -> None:
        """See what is not known of it."""
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
        """Return what the call is summed under."""
        version = self.price.version if self.price else ""
        return UsageKey(self.stage, self.operation, self.model, self.service_tier, version)

    def usage(self) -> Usage:
        """Return the call as sums of one."""
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
        usage.unmodelled = int(bool(self.unmodelled) and self.unpriced)
        if self.statuses != _AT_ONCE:
            self._add_attempts(usage)
        return usage

    def _add_attempts(self, usage: Usage) -> None:
        """Add what other attempts than one that was answered met."""
        usage.rate_limit_hits = self.rate_limit_hits
        usage.rate_limit_retries = self.rate_limit_retries
        usage.other_retries = self.other_retries
        usage.quota_hits = self.quota_hits
        usage.spend_limit_hits = self.spend_limit_hits


def _may_be_billed_more(statuses: tuple[str, ...]) -> bool:
    """Say whether an attempt may have been billed beside the answer, which the last one had.

    An attempt that was answered, and made again all the same, had an answer that did not arrive whole.
    """
    return not UNKNOWN_BILL.isdisjoint(statuses) or any(status[:1] == "2" for status in statuses[:-1])
