"""The comparison of the demo's three sources, and how calls are counted in the ledger."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from examples.screener.demo.figures import Figures, Source, compare
from examples.screener.demo.ledger import count_calls

FIGURES = Figures(3, 4, 1, 1000, 500, 200, Decimal("0.040589450001"))


def differing(*sources: Source) -> list[str]:
    return [line.name for line in compare([Source("SQL", FIGURES), *sources]) if not line.agrees]


def test_equal_figures_agree() -> None:
    """No line is reported as differing."""
    assert differing(Source("metrics", FIGURES, is_exact=False), Source("ledger", FIGURES)) == []


def test_one_pico_dollar_is_a_difference() -> None:
    """SQL and ledger must agree exactly."""
    off = replace(FIGURES, dollars=FIGURES.dollars + Decimal("1e-12"))
    assert differing(Source("ledger", off)) == ["dollars"]


def test_metrics_may_differ_by_rounding() -> None:
    """Only dollars may, by one in 10⁹."""
    near = replace(FIGURES, dollars=FIGURES.dollars * (1 + Decimal("9e-10")))
    far = replace(FIGURES, dollars=FIGURES.dollars * (1 + Decimal("2e-9")), calls=4)
    assert differing(Source("metrics", near, is_exact=False)) == []
    assert differing(Source("metrics", far, is_exact=False)) == ["calls", "dollars"]


@pytest.mark.parametrize(
    ("statuses", "calls"),
    [
        ([200], 1),
        ([429, 200], 1),
        ([200, 200], 2),
        ([503, 503, 503, 200], 2),
        ([503, 503, 503, 503, 503, 503], 2),
        ([429, 500, 200, 429, 200], 2),
    ],
)
def test_call_ends_with_its_answer_or_its_third_attempt(statuses: list[int], calls: int) -> None:
    """The ledger holds attempts; their order shows which belong to one call."""
    ledger = [{"request_key": "k", "seq": seq, "status": status} for seq, status in enumerate(statuses)]
    other = {"request_key": "other", "seq": 99, "status": 200}
    assert count_calls([other, *reversed(ledger)]) == calls + 1
