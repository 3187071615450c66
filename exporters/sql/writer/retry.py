"""The time of the next attempt at something that failed."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

FIRST_RETRY_SECONDS: Final = 0.2
LAST_RETRY_SECONDS: Final = 60.0


@dataclass(slots=True)
class Retry:
    """The time of the next attempt; pauses double, with jitter."""

    pause: float = FIRST_RETRY_SECONDS
    due: float = 0.0
    """By the monotonic clock."""
    is_pressing: bool = True
    """Whether the next attempt may succeed at once; False if something must exist first."""

    def wait(self, longest: float = LAST_RETRY_SECONDS) -> None:
        """Put the next attempt off, for at most ``longest`` seconds."""
        self.due = time.monotonic() + self.pause * random.uniform(0.5, 1.0)
        self.pause = min(self.pause * 2, longest)
