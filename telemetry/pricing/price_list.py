"""The price list of ``genai-prices``, read for one model, tier and day at a time.

For an unknown tier, ``genai-prices`` falls back to the standard price, and for an unknown name to the price
of a similar one. Here both are unpriced, and so is a kind of tokens without a price in the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .model_names import (
    bills_cache_writes,
    handles_more_than_text,
    has_regional_price,
    is_named,
    is_open_weight,
)
from .rates import PerMillion, Rates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import PriceCalculation, TieredPrices

SOURCE: Final = "genai-prices"
BATCH: Final = "batch"
"""The tier of a call made through the Batch API."""
_CACHED: Final = {
    ("ft:gpt-4o", Decimal("3.75")): Decimal("1.875"),
    ("ft:gpt-4o-mini", Decimal("0.3")): Decimal("0.15"),
}
"""Prices of cached input that are missing from the list, by model and by its price of other input.

From OpenAI's announcement of prompt caching, October 2024.
"""
_OTHER_TOKENS: Final = re.compile("audio|image|video")


def snapshot() -> DataSnapshot | None:
    """Return the list in use, or None without ``genai-prices``; an update replaces the object."""
    library = _library()
    return None if library is None else library.get_snapshot()


def newest_change(prices: DataSnapshot, today: date) -> date | None:
    """Return the day of the newest price change in the list, a lower bound of the list's own age.

    The list carries no date. With dozens of providers in it, some price has always changed recently.
    """
    if prices.from_auto_update:
        return prices.timestamp.date()
    known = (day for provider in prices.providers for model in provider.models for day in _changes(model))
    return max((day for day in known if day <= today), default=None)


def _changes(model: Any) -> Iterator[date]:
    prices = model.prices if isinstance(model.prices, list) else ()
    for price in prices:
        day = getattr(price.constraint, "start_date", None)
        if day is not None:
            yield day


def rates(prices: DataSnapshot, provider: str, model: str, tier: str, at: datetime) -> Rates | None:
    """Return the list's rates, or None if it has no price for the model in this tier.

    Args:
        prices: the list, from :func:`snapshot`.
        provider: one of :data:`telemetry.pricing.provider.PROVIDERS`.
        model: as the service names it.
        tier: empty for the standard one.
        at: when the call was made.
    """
    from genai_prices import Usage

    seller = _sellers(model).get(provider)
    if seller is None or handles_more_than_text(model):
        return None
    context = _context(tier)
    try:
        calculation = prices.calc(Usage(), model, seller, None, at, context)
    except LookupError:
        return None
    if not is_named(calculation.model.match, model):
        return None
    if context and not _has_tier(calculation, context, at):
        return None
    steps = _steps(calculation, model, tier)
    # A price per call, or for audio and images, is not covered by the tokens that are counted here.
    if steps is None or calculation.total_price or _has_other_tokens(calculation):
        return None
    return Rates.of(SOURCE, _version(prices), steps, is_momentary=_is_momentary(calculation))


def _sellers(model: str) -> dict[str, str]:
    """Return which provider of the list to ask for ``model``, keyed by :data:`~.provider.PROVIDERS`."""
    if is_open_weight(model):
        return {}
    if has_regional_price(model):
        return {"openai": "openai", "azure": "azure"}
    return {"openai": "openai", "openai-regional": "openai", "azure": "azure"}


@cache
def _library() -> Any:
    try:
        from genai_prices import data_snapshot
    except ImportError:
        return None
    return data_snapshot


def _context(tier: str) -> dict[str, str] | None:
    if not tier:
        return None
    return {"processing": BATCH} if tier == BATCH else {"service_tier": tier}


def _has_tier(calculation: PriceCalculation, context: dict[str, str], at: datetime) -> bool:
    """Return whether the list has prices for ``context``.

    An entry without figures counts: it means that the standard prices apply. Entries of a model that is
    listed under another provider (as Azure's models are, under OpenAI) do not count.
    """
    if not any(calculation.model is model for model in calculation.provider.models):
        return False
    return any(
        context.items() >= variant.when.items()
        and (variant.constraint is None or variant.constraint.active(at))
        for variant in calculation.model.price_variants or ()
    )


def _steps(calculation: PriceCalculation, model: str, tier: str) -> dict[int, PerMillion] | None:
    prices = calculation.model_price
    given = (prices.input_mtok, prices.cache_read_mtok, prices.cache_write_mtok, prices.output_mtok)
    starts = {-1}.union(
        *((tier.start for tier in price.tiers) for price in given if price and hasattr(price, "tiers"))
    )
    steps = {}
    for start in starts:
        fresh, cached, written, output = (_above(price, start) for price in given)
        if fresh is None:
            return None
        if cached is None and not tier:
            cached = _CACHED.get((calculation.model.id, fresh))
        if written is None and not bills_cache_writes(model):
            written = fresh
        steps[start] = PerMillion(fresh, cached, written, output)
    return steps


def _has_other_tokens(calculation: PriceCalculation) -> bool:
    """Return whether the model also has prices for audio, image or video tokens."""
    prices = vars(calculation.model_price)
    return any(prices[name] is not None and _OTHER_TOKENS.search(name) for name in prices)


def _above(price: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    """Return the price of calls with more than ``start`` input tokens, up to the next step."""
    if price is None or isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)


def _is_momentary(calculation: PriceCalculation) -> bool:
    prices = calculation.model.prices
    conditions = [*(prices if isinstance(prices, list) else ()), *(calculation.model.price_variants or ())]
    return any(hasattr(condition.constraint, "start_time") for condition in conditions)


def _version(prices: DataSnapshot) -> str:
    from genai_prices import __version__

    return f"{__version__}+{prices.timestamp:%Y-%m-%dT%H:%M}" if prices.from_auto_update else __version__
