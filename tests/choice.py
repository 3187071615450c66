"""Which tests are run: `make test` the representative ones, `make test-all` the whole matrix."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

VARIABLE = "TEST_MATRIX"


def whole_matrix() -> bool:
    """Whether every database, client and Python is to be tried, as continuous integration does."""
    return os.environ.get(VARIABLE) == "all"


def examples(number: int) -> int:
    """Return how many examples a property is tried with: `number` in the whole matrix, else at most 100.

    100 is what Hypothesis does by itself.
    """
    return number if whole_matrix() else min(number, 100)


def first_of(values: Iterable[Any], reason: str) -> list[Any]:
    """Return parameters of which only the first is tried outside of the whole matrix.

    Args:
        values: of the parameter, the one that shows most first.
        reason: why the others hardly ever show something else.
    """
    first, *others = values
    return [first, *(pytest.param(other, marks=pytest.mark.whole_matrix(reason)) for other in others)]
