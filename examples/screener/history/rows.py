"""The rows of a job, and what they are made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

RATE_LIMIT: Final = "openai.RateLimitError"
CALL_ERRORS: Final = (RATE_LIMIT, "openai.APITimeoutError", "openai.InternalServerError")
ERRORS: Final = (*CALL_ERRORS, "ValueError")
"""What happens to documents: their calls fail for good, or are answered with what is no rating."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One analysis: its run with its parts, and the application's row, if there is one."""

    run: Row
    stages: list[Row]
    analysis: Row | None
    documents: list[Row] = field(default_factory=list)
    counters: list[Row] = field(default_factory=list)
    warning: Row | None = None


def run_id(number: int) -> str:
    """Return the id of a run, in no order, like real ones."""
    return hashlib.blake2b(number.to_bytes(8), digest_size=16).hexdigest()


def at(day: date, hour: float) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(hours=hour)
