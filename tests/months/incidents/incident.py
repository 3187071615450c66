"""What an incident is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.months.month import Month
from tests.months.scene import HOUR, MINUTE


@dataclass(frozen=True)
class Incident:
    """Something that is wrong for a time."""

    what: str
    begin: int
    until: int
    """When the last of its alerts must be over."""
    alerts: Mapping[str, str]
    """The alerts that it must raise, the one that names it first, and why the others follow."""
    happen: Callable[[Month], None]
    may: Mapping[str, str] = field(default_factory=dict)
    """The alerts that may follow, depending on how busy these days are; they count for nothing."""


def postpone(month: Month, begin: int, end: int) -> None:
    """Let no job begin in a period: those that would, begin after it."""
    for job in month.between(begin - HOUR, end):
        if job.end > begin:
            job.shift(end + MINUTE - job.start + (job.start - begin) // 10 if job.start >= begin else 0)
            if job.start < begin:
                job.last(max(begin - MINUTE - job.start, 1))
