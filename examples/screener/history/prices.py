"""What calls cost: their tokens at the list prices of their model, by the product's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from telemetry.pricing import Prices, Tokens
from telemetry.pricing.provider import OPENAI

from .rows import Row

_PRICES: Final = Prices()


def bill(stage: Row, at: datetime) -> None:
    """Give the calls of a stage the cost of their tokens.

    Raises:
        LookupError: if the model has no price at that time.
    """
    rates = _PRICES.rates(OPENAI, stage["model"], int(at.replace(tzinfo=UTC).timestamp()) * 10**9, "")
    tokens = Tokens(stage["input_tokens"], stage["output_tokens"], stage["cached_tokens"])
    cost = None if rates is None else rates.pico_of_sum(tokens, stage["calls"])
    if rates is None or cost is None:
        raise LookupError(f"the price list has no price for {stage['model']}")
    stage["price_source"], stage["price_version"] = rates.source, rates.version
    stage["cost_pico"] = cost
    stage["saved_pico"], stage["output_pico"] = rates.saved_pico(tokens), rates.output_pico(tokens)
