"""The billed facts of one answer: tokens, model, service tier, and what the tokens do not cover."""

from __future__ import annotations

from typing import Final, NamedTuple

from telemetry.pricing.rates import Tokens

MOST_TOKENS: Final = 10**9
"""No call uses more tokens; a higher count is an error, and would overflow the columns that sum it."""


class Answer(NamedTuple):
    """The billed facts of one answer."""

    tokens: Tokens | None = None
    """None when the answer reports no usage."""
    model: str | None = None
    service_tier: str | None = None
    unmodelled: tuple[str, ...] = ()
    """Names of what is billed by something other than tokens. If any, the call is unpriced."""
    missing: tuple[str, ...] = ()
    """Names of counts that are absent or impossible. If any, ``tokens`` is a lower bound."""
    shows_tools: bool = False
    """Whether the answer lists its output, so that every hosted tool it used is in ``unmodelled``."""
