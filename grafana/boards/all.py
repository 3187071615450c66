"""All dashboards."""

from __future__ import annotations

from functools import cache

from grafana.parts.dashboard import Board

from . import (
    cost,
    errors,
    one_analysis,
    overview,
    performance,
    quality,
    rate_limits,
    telemetry_health,
    users,
)


@cache
def boards() -> tuple[Board, ...]:
    """Build all dashboards, in the order in which people read them; their queries are checked, for seconds."""
    return (
        overview.board(),
        cost.board(),
        quality.board(),
        users.board(),
        rate_limits.board(),
        errors.board(),
        performance.board(),
        one_analysis.board(),
        telemetry_health.board(),
    )
