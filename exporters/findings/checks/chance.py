"""How far numbers differ by chance: what is within that is neither a finding nor an alert."""

from __future__ import annotations

import math
from typing import Final

DEVIATIONS: Final = 3
"""So many standard deviations are chance: once in 700 days more jobs fail than that without a reason."""


def is_many(count: int, expected: float) -> bool:
    """Return whether there are more events than chance explains, where so many are expected."""
    return count - expected > DEVIATIONS * math.sqrt(expected + 1)


def is_larger(share: float, expected: float, of: int) -> bool:
    """Return whether a share of so many jobs is larger than chance explains, where another is expected."""
    return share - expected > DEVIATIONS * math.sqrt(expected * (1 - expected) / of)


def half(factor: float) -> float:
    """Return the factor that is half as far from one.

    A sum over jobs varies with their sizes. What it is for each candidate varies less, so half as much of it
    tells that more than chance has made the sum larger by the factor.
    """
    return (1 + factor) / 2
