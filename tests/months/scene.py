"""When and where the months are: autumn in Berlin, with the end of summer time in between."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from telemetry.settings import Settings

ZONE: Final = ZoneInfo("Europe/Berlin")
FIRST, LAST = date(2026, 10, 1), date(2026, 11, 30)
BEFORE: Final = 30
"""Days before the first that SQL knows. Prometheus knows nothing of them: it is new."""
SETTINGS: Final = Settings.load(
    {"TELEMETRY_TIMEZONE": ZONE.key, "TELEMETRY_BUDGET_DAY_USD": "30", "TELEMETRY_BUDGET_MONTH_USD": "360"}
)
"""The defaults, but for budgets of which a usual month spends about 60 %, and its busiest day no more."""
MINUTE, HOUR, DAY = 60, 3600, 86400


def at(month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """Return the epoch second of a local time."""
    return int(datetime(FIRST.year, month, day, hour, minute, tzinfo=ZONE).timestamp())


def naive(second: int) -> datetime:
    """Return a time as our columns have it, in naive UTC."""
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None)


def second(moment: datetime) -> int:
    """Return the epoch second of a time in naive UTC."""
    return int(moment.replace(tzinfo=UTC).timestamp())


def local(second: int) -> datetime:
    """Return the local time."""
    return datetime.fromtimestamp(second, ZONE)


BEGIN: Final = at(FIRST.month, FIRST.day)
END: Final = at(LAST.month, LAST.day) + DAY
DAYS: Final = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
"""All days of the months."""
