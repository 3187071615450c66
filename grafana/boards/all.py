"""All dashboards."""

from __future__ import annotations

from typing import Final

from grafana.parts.dashboard import Board

from . import cost

BOARDS: Final[tuple[Board, ...]] = (cost.board(),)
