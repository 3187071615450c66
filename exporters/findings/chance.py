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
