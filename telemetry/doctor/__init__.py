"""The checks of the doctor. Each is a function that yields one or more lines of the report.

It gets the :class:`Patient`, and must work when anything is missing, as that is when a doctor is needed.
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
from .sending import check_collector, check_prometheus, query_servers
from .storage import check_database, check_runs, check_spool
from .trial import check_synthetic_run

__all__ = ["CHECKS", "Answer", "Check", "Patient", "listening"]

CHECKS: Final[tuple[Callable[[Patient], Answer], ...]] = (
    check_python,
    check_entry_points,
    check_packages,
    check_application,
    check_libraries,  # after the application, as it imports them: some applications must import them first
    check_settings,
    check_set_up,
    check_instrumentation,
    check_provider,
    query_servers,
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
"""All checks, in order: later ones need the results of earlier ones."""
