"""How a history goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Pace:
    """How long a history is, how fast it grows, and how often what goes wrong."""

    days: int = 3 * 365
    growth: float = 1.6
    """Logarithm of the growth from the first day to the last."""
    troubled: float = 1 / 60
    """Share of the days with an outage of the provider."""
    interrupted: float = 0.004
    failed: float = 0.011
    partial: float = 0.015
    """Shares of the jobs, on other days."""
    limited: float = 0.004
    """Share of the calls that meet a rate limit, of at most 40 in a stage."""
    incomplete: float = 0.005
    """Share of the jobs whose cost is incomplete."""


USUAL: Final = Pace()
