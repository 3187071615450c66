"""Price a call in pico-dollars: from the operator's price file, else from the list of ``genai-prices``.

The price is that of the call's own time and service tier. A call with a model or tier that is in neither is
*unpriced*: its cost is unknown, never $0 and never the standard price.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from telemetry.settings import Settings, SettingsError

from . import price_list
from .model_names import always_searches
from .price_file import PriceFile, read_price_file
from .price_list import BATCH
from .rates import Rates, Tokens

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = [
    "BATCH",
    "PICO",
    "STANDARD_TIERS",
    "Price",
    "PriceFile",
    "Pricer",
    "Prices",
    "Rates",
    "Tokens",
    "default_pricer",
    "list_price",
    "read_price_file",
    "to_dollars",
    "unpriced",
]

PICO: Final = Decimal(10) ** 12
"""Pico-dollars in a dollar."""

STANDARD_TIERS: Final = frozenset({"", "default", "auto", "standard"})
"""Service tiers billed at the standard price. Any other tier has its own price or is unpriced."""

_DAY: Final = 86_400 * 10**9
_REMEMBERED: Final = 4096
"""Size of the cache of rates by model, tier and day."""

_log = logging.getLogger("telemetry")


class Price(NamedTuple):
    """The price of one call and its source."""

    pico: int
    """Pico-dollars, rounded half-even."""
    source: str
    version: str
    saved_pico: int = 0
    """What the cached tokens would have cost more as other input."""
    output_pico: int = 0
    """How much of the price the output is."""


Pricer = Callable[[str, str, Tokens, int, str], Price | None]
"""``(provider, model, tokens, time in epoch nanoseconds, service tier) -> Price``, or None if unpriced.

The provider is one of :data:`telemetry.pricing.provider.PROVIDERS`.
"""


def to_dollars(pico: int) -> Decimal:
    """Return ``pico`` pico-dollars as exact dollars."""
    return Decimal(pico) / PICO


class Prices:
    """A :data:`Pricer`: the price file first, then the bundled list."""

    def __init__(self, file: PriceFile | None = None) -> None:
        """Price with ``file`` before the list."""
        self._file = file
        self._book = _Book(file, None)

    def __call__(self, provider: str, model: str, tokens: Tokens, at_ns: int, tier: str) -> Price | None:
        """Price one call; return None if it is unpriced."""
        rates = self.rates(provider, model, at_ns, tier)
        pico = None if rates is None else rates.pico(tokens)
        if rates is None or pico is None:
            return None
        saved, output = rates.saved_pico(tokens), rates.output_pico(tokens)
        return Price(pico, rates.source, rates.version, saved, output)

    def rates(self, provider: str, model: str, at_ns: int, tier: str) -> Rates | None:
        """Return the rates at ``at_ns``, or None if the call is unpriced."""
        book, listed = self._book, price_list.snapshot()
        if book.listed is not listed:  # genai-prices has updated its list
            book = self._book = _Book(self._file, listed)
        return book.rates(provider, model, "" if tier in STANDARD_TIERS else tier, at_ns)


class _Book:
    """One price file and one state of the list, with the rates looked up in them so far."""

    def __init__(self, file: PriceFile | None, listed: DataSnapshot | None) -> None:
        self.listed = listed
        self._file = file
        self._on_day = lru_cache(_REMEMBERED)(self._find)

    def rates(self, provider: str, model: str, tier: str, at_ns: int) -> Rates | None:
        """Return the rates of the day; the few prices that change within a day are looked up anew."""
        rates = self._on_day(provider, model, tier, at_ns - at_ns % _DAY)
        if rates is not None and rates.is_momentary:
            return self._find(provider, model, tier, at_ns)
        return rates

    def _find(self, provider: str, model: str, tier: str, at_ns: int) -> Rates | None:
        if always_searches(model):
            return None
        at = datetime.fromtimestamp(at_ns // 10**9, UTC)
        if self._file is not None and (rates := self._file.rates(provider, model, tier, at.date())):
            return rates
        if self.listed is None:
            return None
        return price_list.rates(self.listed, provider, model, tier, at)


list_price: Final[Pricer] = Prices()
"""Prices from the bundled list alone."""


def unpriced(provider: str, model: str, tokens: Tokens, at_ns: int, tier: str) -> Price | None:
    """Return None: a pricer without prices."""
    return None


def default_pricer(settings: Settings) -> Pricer:
    """Return the pricer for ``settings``.

    An invalid price file neither stops recording nor replaces contract prices by list prices: one line is
    logged, and calls are unpriced until the file is corrected. ``reprice`` then prices the recorded calls.
    """
    try:
        return prices(settings.prices_file)
    except SettingsError as error:
        _log.error("calls are unpriced: TELEMETRY_PRICES_FILE: %s", error)
        return unpriced


def prices(path: Path | None) -> Prices:
    """Return the prices of the file at ``path`` and the bundled list, or of the list alone.

    Raises:
        SettingsError: if the file cannot be used.
    """
    # Loaded now, not at the first call: openai 2 fails if another thread is importing httpx2 at that moment.
    price_list.snapshot()
    return Prices(None if path is None else read_price_file(path))
