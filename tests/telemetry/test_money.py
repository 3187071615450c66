"""Amounts of money on a page: never rounded away, under each other, exact where they add up."""

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
def test_one_amount(amount: str, shown: str) -> None:
    """It has cents, and more digits where it is small."""
    assert money.text(Decimal(amount)) == shown


@given(amounts)
def test_what_is_there_is_seen(amount: Decimal) -> None:
    """No amount is shown as nothing, and none is off by more than its last digit."""
    shown = value(money.text(amount))
    assert bool(shown) == bool(amount)
    assert abs(shown - amount) <= Decimal("0.005")


@given(st.lists(amounts, min_size=1))
def test_an_exact_column_adds_up(column: list[Decimal]) -> None:
    """To the last pico-dollar."""
    assert sum(map(value, money.column(column, exact=True))) == sum(column)


@given(st.lists(st.tuples(amounts, st.booleans()), min_size=1))
def test_points_stand_under_each_other(column: list[tuple[Decimal, bool]]) -> None:
    """Flush right, also beside lower bounds, and nothing that is there is shown as nothing."""
    found = money.column([amount for amount, _ in column], [complete for _, complete in column])
    assert len({len(text) - text.index(".") for text in found}) == 1
    for (amount, complete), text in zip(column, found, strict=True):
        assert bool(value(text)) == bool(amount)
        assert text.endswith("+") != complete


def test_what_nobody_knows() -> None:
    """It is no zero."""
    assert money.column([None, Decimal(0), Decimal(1)], [False, True, False]) == [
        "unknown",
        "$0.00 ",
        "$1.00+",
    ]
