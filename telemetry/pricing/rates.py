"""Rates per token, and the exact arithmetic from tokens to pico-dollars."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple, Self

PICO_PER_TOKEN: Final = 10**6
"""Pico-dollars per token for one dollar per million tokens."""


class Tokens(NamedTuple):
    """Token counts of one call.

    ``cached`` and ``cache_write`` are disjoint parts of ``input``; ``reasoning`` is part of ``output``.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0


class PerMillion(NamedTuple):
    """Dollars per million tokens; None for a kind of tokens without a price."""

    input: Decimal
    cached: Decimal | None
    cache_write: Decimal | None
    output: Decimal | None


class _PerToken(NamedTuple):
    """Integer fractions of a pico-dollar per token, so that only the result is rounded."""

    input: int
    cached: int | None
    cache_write: int | None
    output: int | None


@dataclass(frozen=True, slots=True)
class Rates:
    """The prices of one model and tier at one time, and their source."""

    source: str
    version: str
    starts: tuple[int, ...]
    """Input token counts above which the next step applies to the whole call."""
    steps: tuple[_PerToken, ...]
    """One more than ``starts``."""
    parts: int
    """Denominator of the steps: how many units make a pico-dollar."""
    is_momentary: bool = False
    """Whether the rates apply to a part of the day only."""

    @classmethod
    def of(
        cls, source: str, version: str, prices: Mapping[int, PerMillion], *, is_momentary: bool = False
    ) -> Self:
        """Build rates from ``prices``, keyed by the input tokens above which they apply, from -1 up."""
        starts = sorted(prices)
        exact = [[_pico(price) for price in prices[start]] for start in starts]
        parts = math.lcm(*(price.denominator for step in exact for price in step if price is not None))
        steps = tuple(_PerToken(*(_whole(price, parts) for price in step)) for step in exact)  # type: ignore[arg-type]
        return cls(source, version, tuple(starts[1:]), steps, parts, is_momentary)

    def pico(self, tokens: Tokens) -> int | None:
        """Return the cost of a call, rounded half-even, or None if some of its tokens have no price."""
        step = self._step(tokens)
        counts = (tokens.input, tokens.cached, tokens.cache_write, tokens.output)
        if min(counts) < 0:
            return None
        cached = min(tokens.cached, tokens.input)
        written = min(tokens.cache_write, tokens.input - cached)
        total = (tokens.input - cached - written) * step.input
        for count, price in (
            (cached, step.cached),
            (written, step.cache_write),
            (tokens.output, step.output),
        ):
            if count:
                if price is None:
                    return None
                total += count * price
        return total if self.parts == 1 else _divide(total, self.parts)

    def saved_pico(self, tokens: Tokens) -> int:
        """Return what the cached tokens of a priced call would have cost more as other input, at least 0."""
        step = self._step(tokens)
        if not tokens.cached or step.cached is None:
            return 0
        saved = max(step.input - step.cached, 0) * min(tokens.cached, tokens.input)
        return _divide(saved, self.parts)

    def output_pico(self, tokens: Tokens) -> int:
        """Return how much of the cost of a priced call its output is."""
        return _divide(tokens.output * (self._step(tokens).output or 0), self.parts)

    def _step(self, tokens: Tokens) -> _PerToken:
        return self.steps[bisect_left(self.starts, tokens.input) if self.starts else 0]

    def pico_of_sum(self, tokens: Tokens, calls: int) -> int | None:
        """Return the cost of ``calls`` calls with ``tokens`` in total.

        None if some tokens have no price, or if the total does not determine which step applies to each call.
        The result may differ from the sum of single costs by less than one pico-dollar per call: each of them
        is rounded.
        """
        if calls > 1 and self.starts and tokens.input > self.starts[0]:
            return None
        return self.pico(tokens)


def _pico(price: Decimal | None) -> Fraction | None:
    return None if price is None else Fraction(price) * PICO_PER_TOKEN


def _whole(price: Fraction | None, parts: int) -> int | None:
    return None if price is None else int(price * parts)


def _divide(total: int, parts: int) -> int:
    whole, rest = divmod(total, parts)
    if rest * 2 > parts or (rest * 2 == parts and whole % 2):
        whole += 1
    return whole
