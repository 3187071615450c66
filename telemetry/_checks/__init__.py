"""What the doctor looks at, one function a question; each answers with a line, or a few.

Every function gets the :class:`Patient` and works with half of everything missing: that is when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .check import Answer, Check, Patient
from .installed import check_entry_points, check_libraries, check_python
from .running import (
    check_application,
    check_instrumentation,
    check_provider,
    check_set_up,
    check_settings,
)
from .storage import check_database, check_prices, check_spool

__all__ = ["CHECKS", "Answer", "Check", "Patient"]

CHECKS: Final[tuple[Callable[[Patient], Answer], ...]] = (
    check_python,
    check_entry_points,
    check_libraries,
    check_application,
    check_settings,
    check_set_up,
    check_instrumentation,
    check_provider,
    check_prices,
    check_database,
    check_spool,
)
"""In the order in which a person would ask; later ones build on earlier ones."""
