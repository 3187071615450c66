"""What is wrong with telemetry itself."""

from __future__ import annotations

from typing import Final

from telemetry import conventions as c
from tests.months.incidents.incident import Incident
from tests.months.month import Month
from tests.months.scene import at


def _no_check(month: Month) -> None:
    for day in [day for day in month.logged if at(10, 26) <= at(day.month, day.day) < at(10, 28)]:
        month.logged[day] = at(10, 28, 14)


def _quarantine(month: Month) -> None:
    month.gauges[c.SPOOL_DEAD.name].during(at(11, 16, 10), at(11, 16, 15), 3)


INCIDENTS: Final = (
    Incident(
        "the daily check stops for two days",
        at(10, 27, 0, 10),
        at(10, 28, 15),
        {"AnalysisHealthLogMissing": ""},
        _no_check,
    ),
    Incident(
        "the database refuses three snapshots",
        at(11, 16, 10),
        at(11, 16, 16),
        {"AnalysisSpoolQuarantine": ""},
        _quarantine,
    ),
)
