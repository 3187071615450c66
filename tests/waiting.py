"""Waiting for an event."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotInTime(AssertionError):
    """A condition did not hold in time."""


def until(condition: Callable[[], T], seconds: float = 60.0, what: str = "") -> T:
    """Wait until a condition holds, and return its value.

    Args:
        condition: asked again and again; the longer its answer takes, the less often, so that asking takes
            a quarter of the processor at most.
        seconds: the limit, long enough for a busy machine.
        what: what should happen, for the message.

    Raises:
        NotInTime: it does not hold within this time.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if value := condition():
            return value
        now = time.monotonic()
        if now > deadline:
            raise NotInTime(f"did not happen within {seconds:g} s: {what or 'the condition'}")
        time.sleep(max(0.01, 3 * (now - asked)))
