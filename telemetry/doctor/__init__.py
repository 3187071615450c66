"""What the doctor looks at, one function a question; each answers with a line, or a few.

Every function gets the :class:`Patient` and works with half of everything missing: that is when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .check import Answer, Check, Patient, listening
from .clocks import check_clock
from .host_tables import check_host_tables, check_projection
from .installed import check_entry_points, check_libraries, check_packages, check_python
from .prices import check_prices
from .running import check_application, check_instrumentation, check_provider, check_set_up, check_settings
from .sending import ask_around, check_collector, check_prometheus
from .storage import check_database, check_runs, check_spool
from .trial import check_synthetic_run

__all__ = ["CHECKS", "Answer", "Check", "Patient", "listening"]

CHECKS: Final[tuple[Callable[[Patient], Answer], ...]] = (
    check_python,
    check_entry_points,
    check_packages,
    check_application,
    check_libraries,  # which imports them: some applications have to be the first who do
    check_settings,
    check_set_up,
    check_instrumentation,
    check_provider,
    ask_around,
    check_prices,
    check_database,
    check_runs,
    check_host_tables,
    check_projection,
    check_spool,
    check_collector,
    check_prometheus,
    check_clock,
    check_synthetic_run,
)
"""In the order in which a person would ask; later ones build on earlier ones."""
