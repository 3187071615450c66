"""The price list that comes with ``genai-prices``, read one model, tier and day at a time.

For a tier the list does not know, ``genai-prices`` answers with the standard price; here that is no price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ._rates import PerMillion, Rates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import PriceCalculation, TieredPrices

SOURCE: Final = "genai-prices"
BATCH: Final = "batch"
"""The tier of a call made through the Batch API."""
_OTHER_TOKENS: Final = re.compile("audio|image|video")


def snapshot() -> DataSnapshot | None:
    """Return the list in use now, None without ``genai-prices``; an update makes it another object."""
    library = _library()
    return None if library is None else library.get_snapshot()


def newest_change(prices: DataSnapshot, today: date) -> date | None:
    """Return up to which day the list knows changes of prices: it can be no older than that.

    The list does not say of when it is. It holds the prices of dozens of providers, one of which is always
    about to change some.
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
    """Return what the list says, None when it does not know the model, or not in this tier.

    Args:
        prices: of :func:`snapshot`.
        provider: ``openai`` or ``azure``.
        model: as the service names it.
        tier: empty for the standard one.
        at: when the call was made.
    """
    from genai_prices import Usage

    context = _context(tier)
    try:
        found = prices.calc(Usage(), model, provider, None, at, context)
    except LookupError:
        return None
    if context and not _has_tier(found, context, at):
        return None
    steps = _steps(found)
    # A price for the call itself, or for sounds and pictures, is beside the tokens we know of.
    if steps is None or found.total_price or _has_other_tokens(found):
        return None
    return Rates.of(SOURCE, _version(prices), steps, is_momentary=_is_momentary(found))


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


def _has_tier(found: PriceCalculation, context: dict[str, str], at: datetime) -> bool:
    """Say whether the list has prices for ``context``.

    One without figures of its own says that they are the standard ones. Those of a model that is listed
    under another provider (Azure's are, under OpenAI) do not count.
    """
    if not any(found.model is model for model in found.provider.models):
        return False
    return any(
        context.items() >= variant.when.items()
        and (variant.constraint is None or variant.constraint.active(at))
        for variant in found.model.price_variants or ()
    )


def _steps(found: PriceCalculation) -> dict[int, PerMillion] | None:
    prices = found.model_price
    given = (prices.input_mtok, prices.cache_read_mtok, prices.cache_write_mtok, prices.output_mtok)
    starts = {-1}.union(
        *((tier.start for tier in price.tiers) for price in given if price and hasattr(price, "tiers"))
    )
    steps = {}
    for start in starts:
        fresh, cached, written, output = (_above(price, start) for price in given)
        if fresh is None:
            return None
        cached, written = (fresh if price is None else price for price in (cached, written))
        steps[start] = PerMillion(fresh, cached, written, output)
    return steps


def _has_other_tokens(found: PriceCalculation) -> bool:
    """Say whether some tokens of the model are sounds or pictures, which cost other prices than text."""
    prices = vars(found.model_price)
    return any(prices[name] is not None and _OTHER_TOKENS.search(name) for name in prices)


def _above(price: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    """Return the price of calls with more than ``start`` input tokens, up to the next step."""
    if price is None or isinstance(price, Decimal):
        return price
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)


def _is_momentary(found: PriceCalculation) -> bool:
    prices = found.model.prices
    conditions = [*(prices if isinstance(prices, list) else ()), *(found.model.price_variants or ())]
    return any(hasattr(condition.constraint, "start_time") for condition in conditions)


def _version(prices: DataSnapshot) -> str:
    from genai_prices import __version__

    return f"{__version__}+{prices.timestamp:%Y-%m-%dT%H:%M}" if prices.from_auto_update else __version__
