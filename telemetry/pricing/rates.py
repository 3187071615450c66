"""What a token costs, and the exact arithmetic from tokens to pico-dollars."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple, Self

PICO_PER_TOKEN: Final = 10**6
"""Pico-dollars a token, for each dollar a million tokens."""


class Tokens(NamedTuple):
    """Tokens of one call.

    ``cached`` and ``cache_write`` are parts of ``input`` that do not overlap, ``reasoning`` is part of
    ``output``.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0


class PerMillion(NamedTuple):
    """Dollars for a million tokens; None for a kind of tokens that has no price."""

    input: Decimal
    cached: Decimal | None
    cache_write: Decimal | None
    output: Decimal | None


class _PerToken(NamedTuple):
    """The same in parts of a pico-dollar for a token: integers, so that nothing is rounded but the result."""

    input: int
    cached: int | None
    cache_write: int | None
    output: int | None


@dataclass(frozen=True, slots=True)
class Rates:
    """The prices of one model and tier at one time, and where they come from."""

    source: str
    version: str
    starts: tuple[int, ...]
    """Input tokens of a call above which all of its tokens cost what the next step says."""
    steps: tuple[_PerToken, ...]
    """One more than ``starts``."""
    parts: int
    """Into how many parts the steps divide a pico-dollar."""
    is_momentary: bool = False
    """Whether these hold for a part of the day only."""

    @classmethod
    def of(
        cls, source: str, version: str, prices: Mapping[int, PerMillion], *, is_momentary: bool = False
    ) -> Self:
        """Take ``prices`` by the input tokens above which they hold; the first, below all others, by -1."""
        starts = sorted(prices)
        exact = [[_pico(price) for price in prices[start]] for start in starts]
        parts = math.lcm(*(price.denominator for step in exact for price in step if price is not None))
        steps = tuple(_PerToken(*(_whole(price, parts) for price in step)) for step in exact)  # type: ignore[arg-type]
        return cls(source, version, tuple(starts[1:]), steps, parts, is_momentary)

    def pico(self, tokens: Tokens) -> int | None:
        """Return what a call costs, rounded half-even; None when some of its tokens have no price."""
        step = self.steps[bisect_left(self.starts, tokens.input) if self.starts else 0]
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

    def pico_of_sum(self, tokens: Tokens, calls: int) -> int | None:
        """Return what ``calls`` calls cost whose sums are ``tokens``.

        None where the sums do not tell: some tokens have no price, or some of the calls may have been long
        enough for another step. Off by less than a pico-dollar for each call, which is rounded on its own.
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
