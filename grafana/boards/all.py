"""All dashboards."""

from __future__ import annotations

from typing import Final

from grafana.parts.dashboard import Board

from . import cost, overview, rate_limits

BOARDS: Final[tuple[Board, ...]] = (overview.board(), cost.board(), rate_limits.board())
