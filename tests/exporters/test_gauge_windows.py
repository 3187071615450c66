"""The days that gauges are about are calendar days of a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporters.reports.money import month_forecast
from exporters.reports.selection import Selection, last_days, this_month
from exporters.sql.database.days import Day

ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu")
]


@given(
    now=st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    began=st.timedeltas(timedelta(days=-40), timedelta(days=2)),
    zone=st.sampled_from(ZONES),
)
@example(now=datetime(2026, 3, 29, 22, 30, tzinfo=UTC), began=timedelta(days=-6, hours=-23), zone=ZONES[1])
@example(
    now=datetime(2026, 10, 25, 22, 59, tzinfo=UTC), began=timedelta(hours=-24, minutes=-30), zone=ZONES[1]
)
def test_windows_have_the_runs_of_their_calendar_days(
    now: datetime, began: timedelta, zone: ZoneInfo
) -> None:
    """A run is in a window exactly if its local date is, also where days have 23 or 25 hours."""
    day, moment = Day.today(zone, now), now + began
    local: date = moment.astimezone(zone).date()
    first: date = day.date

    def has(selection: Selection) -> bool:
        return selection.first.start <= moment.replace(tzinfo=None) < selection.last.end

    assert has(last_days(zone, day, 1)) is (local == first)
    assert has(last_days(zone, day, 7)) is (first - timedelta(days=7) < local <= first)
    assert has(last_days(zone, day, 30)) is (first - timedelta(days=30) < local <= first)
    assert has(this_month(zone, day)) is (first.replace(day=1) <= local <= first)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 3, 31, 22, 30, tzinfo=UTC), 300),  # half an hour of April in Berlin counts as a day
        (datetime(2026, 4, 1, 21, 59, tzinfo=UTC), 300),
        (datetime(2026, 4, 15, 22, tzinfo=UTC), 20),
        (datetime(2026, 4, 30, 21, 59, 59, tzinfo=UTC), 10),
    ],
)
def test_the_forecast_is_by_the_calendar_of_the_zone(now: datetime, expected: float) -> None:
    """In the first hours it does not multiply by hundreds, and at the end it is what was spent."""
    day = Day.today(ZONES[1], now)

    assert month_forecast(10, ZONES[1], day, now) == pytest.approx(expected, rel=1e-3)
