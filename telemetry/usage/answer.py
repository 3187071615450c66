"""What one answer of the service says about what is billed."""

from __future__ import annotations

from typing import Final, NamedTuple

from telemetry.pricing.rates import Tokens

MOST_TOKENS: Final = 10**9
"""No call has had as many: a higher count is a fault, and would overflow the sums of the tables."""


class Answer(NamedTuple):
    """What one answer of the service says about what is billed."""

    tokens: Tokens | None = None
    """None: the answer names none."""
    model: str | None = None
    service_tier: str | None = None
    unmodelled: tuple[str, ...] = ()
    """Names of what costs otherwise than its tokens say. Not empty: the call is unpriced."""
    missing: tuple[str, ...] = ()
    """Names of counts that are absent or cannot be right. Not empty: ``tokens`` is a lower bound."""
    shows_tools: bool = False
    """Whether it shows which tools of the service were used: ``unmodelled`` names them then."""
