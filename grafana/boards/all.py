"""All dashboards."""

from __future__ import annotations

from typing import Final

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

BOARDS: Final[tuple[Board, ...]] = (
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
"""In the order in which people read them."""
