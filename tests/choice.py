"""The selection of tests: `make test` runs representative ones, `make test-all` the whole matrix."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

VARIABLE = "TEST_MATRIX"
Value = TypeVar("Value")


def whole_matrix() -> bool:
    """Return whether to test every database, client and Python, as continuous integration does."""
    return os.environ.get(VARIABLE) == "all"


def examples(number: int) -> int:
    """Return the number of examples for a property: `number` in the whole matrix, else at most 25."""
    return number if whole_matrix() else min(number, 25)


def sample(values: Iterable[Value]) -> list[Value]:
    """Return all values in the whole matrix, else every third: always the first, so one of each few."""
    return [*values] if whole_matrix() else [*values][::3]


def first_of(values: Iterable[Any], reason: str) -> list[Any]:
    """Return parameters, of which all but the first are marked for the whole matrix alone.

    Args:
        values: values of the parameter; first the one that reveals most.
        reason: why the others rarely reveal anything more.
    """
    first, *others = values
    return [first, *(pytest.param(other, marks=pytest.mark.whole_matrix(reason)) for other in others)]
