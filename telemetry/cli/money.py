"""Formatting of money, by one rule for all commands.

Amounts have two decimals, or as many as show two significant digits, so that none is rounded to zero. All
amounts of a column have as many decimals as the one that needs most, so that their decimal points are
aligned. A lower bound ends in ``+``, and an unknown amount is ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

CENTS: Final = 2
SIGNIFICANT: Final = 2
"""Digits of a small amount that are shown."""
MOST_DIGITS: Final = 12
"""Maximum number of decimals: a pico-dollar."""
UNKNOWN: Final = "unknown"
NONE: Final = "–"


def digits(amounts: Iterable[Decimal], *, exact: bool = False) -> int:
    """Return the number of decimals for a column: all of them if ``exact``, else for its smallest amount."""
    needed = [
        _exact_digits(amount) if exact else SIGNIFICANT - 1 - amount.adjusted()
        for amount in amounts
        if amount
    ]
    return min(max([CENTS, *needed]), MOST_DIGITS)


def _exact_digits(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def text(amount: Decimal, places: int | None = None) -> str:
    """Return an amount with ``places`` decimals; default: as many as it needs."""
    places = digits([amount]) if places is None else places
    rounded = amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return f"${rounded:,.{places}f}"


def column(
    amounts: Sequence[Decimal | None], complete: Sequence[bool] | None = None, *, exact: bool = False
) -> list[str]:
    """Return amounts for a column that is aligned right.

    Args:
        amounts: in dollars; None if unknown.
        complete: whether each is complete, and no lower bound; default: all are.
        exact: whether to show all decimals, for amounts that add up to a total.
    """
    places = digits([value for value in amounts if value is not None], exact=exact)
    known = [True] * len(amounts) if complete is None else list(complete)
    has_bounds = any(not all_ and value is not None for value, all_ in zip(amounts, known, strict=True))
    cells = []
    for amount, is_complete in zip(amounts, known, strict=True):
        mark = (" " if is_complete else "+") if has_bounds else ""
        cells.append(UNKNOWN if amount is None else _aligned(amount, places) + mark)
    return cells


def _aligned(amount: Decimal, places: int) -> str:
    """Return an amount with ``places`` decimals; zero has only two."""
    return text(amount, places) if amount else text(amount, CENTS) + " " * (places - CENTS)
