"""What a call costs, in pico-dollars, from the bundled price list of ``genai-prices``.

A price is the one of the call's own time and service tier. A model or tier the list does not know is
*unpriced*: counted as such, never $0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any, Final

PICO: Final = Decimal(10) ** 12
"""Pico-dollars in a dollar."""

STANDARD_TIERS: Final = frozenset({"", "default", "auto", "standard"})
"""Tiers that cost the list price."""
PRICED_TIERS: Final = frozenset({"flex", "priority"})
"""Tiers with a price of their own; any other is unpriced."""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one call and where it comes from."""

    pico: int
    """Pico-dollars, rounded half-even."""
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call. ``cached`` is part of ``input``, ``reasoning`` part of ``output``."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0


Pricer = Callable[[str, str, Tokens, int, str], Price | None]
"""``(provider, model, tokens, time in epoch nanoseconds, service tier) -> Price``, None when unpriced."""


def to_dollars(pico: int) -> Decimal:
    """Return ``pico`` pico-dollars as exact dollars."""
    return Decimal(pico) / PICO


def list_price(provider: str, model: str, tokens: Tokens, at_ns: int, tier: str) -> Price | None:
    """Price a call from the bundled list; None when the list does not know the model or the tier."""
    if tier not in STANDARD_TIERS and tier not in PRICED_TIERS:
        return None
    book = _price_list()
    if book is None:
        return None
    try:
        usage = book.Usage(
            input_tokens=tokens.input,
            cache_read_tokens=min(tokens.cached, tokens.input),
            output_tokens=tokens.output,
        )
        cost = book.calc_price(
            usage,
            model,
            provider_id=provider,
            genai_request_timestamp=datetime.fromtimestamp(at_ns / 1e9, UTC),
            price_context={"service_tier": tier} if tier in PRICED_TIERS else None,
        )
    except LookupError:
        return None
    pico = int((cost.total_price * PICO).to_integral_value(ROUND_HALF_EVEN))
    return Price(pico, "genai-prices", book.__version__)


@cache
def _price_list() -> Any:
    try:
        import genai_prices
    except ImportError:
        return None
    return genai_prices
