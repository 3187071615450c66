"""Days of a time zone as periods in naive UTC, as in our columns; they last 23, 24 or 25 hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Day:
    """One day, until the beginning of the next."""

    date: dt.date
    start: datetime
    """Naive UTC, inclusive."""
    end: datetime
    """Naive UTC, exclusive."""

    @classmethod
    def of(cls, day: dt.date, zone: ZoneInfo) -> Day:
        """Return the day with a date in ``zone``."""
        return cls(day, midnight(day, zone), midnight(day + timedelta(days=1), zone))

    @classmethod
    def today(cls, zone: ZoneInfo, now: datetime | None = None) -> Day:
        """Return the day in ``zone`` to which ``now`` belongs (aware; default: the current time)."""
        return cls.of((now or datetime.now(UTC)).astimezone(zone).date(), zone)


def days(first: dt.date, last: dt.date, zone: ZoneInfo) -> Iterator[Day]:
    """Yield the days from ``first`` to ``last``, both included."""
    while first <= last:
        yield Day.of(first, zone)
        first += timedelta(days=1)


def midnight(day: dt.date, zone: tzinfo) -> datetime:
    """Return the beginning of a day in ``zone`` as naive UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC).replace(tzinfo=None)
