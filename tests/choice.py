"""Which tests are run: `make test` the representative ones, `make test-all` the whole matrix."""

from __future__ import annotations

import os

VARIABLE = "TEST_MATRIX"


def whole_matrix() -> bool:
    """Whether every database, client and Python is to be tried, as continuous integration does."""
    return os.environ.get(VARIABLE) == "all"


def examples(number: int) -> int:
    """Return how many examples a property is tried with: `number` in the whole matrix, else at most 100.

    100 is what Hypothesis does by itself.
    """
    return number if whole_matrix() else min(number, 100)
