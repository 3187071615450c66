"""Which tests are run: `make test` the representative ones, `make test-all` the whole matrix."""

from __future__ import annotations

import os

VARIABLE = "TEST_MATRIX"


def whole_matrix() -> bool:
    """Whether every database, client and Python is to be tried, as continuous integration does."""
    return os.environ.get(VARIABLE) == "all"
