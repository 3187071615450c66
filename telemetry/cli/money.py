"""Money on a page: one rule for every command.

An amount has cents, and below ten cents as many more digits as show two that are no zeros: it is never
rounded away. Amounts in a column all have as many digits as the one that needs most, so that their decimal
points stand under each other. What is a lower bound ends in ``+``; what nobody knows is ``unknown``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

CENTS: Final = 2
SIGNIFICANT: Final = 2
"""Digits that are shown of a small amount."""
MOST_DIGITS: Final = 12
"""After the point: a pico-dollar."""
UNKNOWN: Final = "unknown"
NONE: Final = "–"


def digits(amounts: Iterable[Decimal], *, exact: bool = False) -> int:
    """Return how many digits after the point a column needs; to be exact, or to show its smallest amount."""
    needed = [_exact_digits(each) if exact else SIGNIFICANT - 1 - each.adjusted() for each in amounts if each]
    return min(max([CENTS, *needed]), MOST_DIGITS)


def _exact_digits(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def text(amount: Decimal, places: int | None = None) -> str:
    """Return one amount, with so many digits after the point; default: as many as it needs."""
    places = digits([amount]) if places is None else places
    rounded = amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    return f"${rounded:,.{places}f}"


def column(
    amounts: Sequence[Decimal | None], complete: Sequence[bool] | None = None, *, exact: bool = False
) -> list[str]:
    """Return amounts to be set flush right under each other.

    Args:
        amounts: in dollars; None is unknown.
        complete: which of them are all there is; default: all of them.
        exact: show all digits there are, for amounts that add up.
    """
    places = digits([each for each in amounts if each is not None], exact=exact)
    known = [True] * len(amounts) if complete is None else list(complete)
    has_bounds = any(not all_ and each is not None for each, all_ in zip(amounts, known, strict=True))
    found = []
    for amount, is_complete in zip(amounts, known, strict=True):
        mark = (" " if is_complete else "+") if has_bounds else ""
        found.append(UNKNOWN if amount is None else _aligned(amount, places) + mark)
    return found


def _aligned(amount: Decimal, places: int) -> str:
    """Return an amount with so many digits; nothing has cents alone, as more would promise more."""
    return text(amount, places) if amount else text(amount, CENTS) + " " * (places - CENTS)
