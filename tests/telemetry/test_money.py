"""Amounts of money in print: never rounded to zero, aligned, and exact in columns that are summed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.cli import money

PICO = Decimal(1).scaleb(-12)
amounts = st.integers(0, 10**19).map(lambda pico: pico * PICO)


def value(text: str) -> Decimal:
    return Decimal(text.strip().rstrip("+").lstrip("$").replace(",", ""))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("0.5", "$0.50"),
        ("1234.5678", "$1,234.57"),
        ("0.00004", "$0.000040"),
        ("0.000000000001", "$0.000000000001"),
    ],
)
def test_small_amounts_have_more_digits(amount: str, shown: str) -> None:
    """An amount has cents, and more digits where cents would hide it."""
    assert money.text(Decimal(amount)) == shown


@given(amounts)
def test_no_amount_is_rounded_to_zero(amount: Decimal) -> None:
    """What is printed differs from the amount by half a cent at most."""
    shown = value(money.text(amount))
    assert bool(shown) == bool(amount)
    assert abs(shown - amount) <= Decimal("0.005")


@given(st.lists(amounts, min_size=1))
def test_an_exact_column_adds_up(column: list[Decimal]) -> None:
    """To the last pico-dollar."""
    assert sum(map(value, money.column(column, exact=True))) == sum(column)


@given(st.lists(st.tuples(amounts, st.booleans()), min_size=1))
def test_decimal_points_are_aligned(column: list[tuple[Decimal, bool]]) -> None:
    """Amounts align even beside lower bounds, which end in `+`; none is rounded to zero."""
    printed = money.column([amount for amount, _ in column], [complete for _, complete in column])
    assert len({len(text) - text.index(".") for text in printed}) == 1
    for (amount, complete), text in zip(column, printed, strict=True):
        assert bool(value(text)) == bool(amount)
        assert text.endswith("+") != complete


def test_unknown_amount_is_not_printed_as_zero() -> None:
    """It is printed as `unknown`."""
    assert money.column([None, Decimal(0), Decimal(1)], [False, True, False]) == [
        "unknown",
        "$0.00 ",
        "$1.00+",
    ]
