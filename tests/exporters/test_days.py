"""Days of a time zone, daylight saving included."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.sql.database.days import Day, days

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu")
]


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 11, 25), 24)],
)
def test_days_of_a_clock_change_are_shorter_or_longer(day: date, hours: int) -> None:
    """Clocks go forward in March and back in October."""
    whole = Day.of(day, BERLIN)
    assert whole.end - whole.start == timedelta(hours=hours)


def test_a_day_begins_at_local_midnight() -> None:
    """Its start is expressed in naive UTC."""
    assert Day.of(date(2026, 7, 1), BERLIN).start == datetime(2026, 6, 30, 22)
    assert Day.today(BERLIN, datetime(2026, 7, 1, 22, 30, tzinfo=UTC)).date == date(2026, 7, 2)


@given(
    first=st.dates(date(2011, 1, 1), date(2030, 1, 1)),
    length=st.integers(0, 40),
    zone=st.sampled_from(ZONES),
)
def test_days_leave_no_gap_and_do_not_overlap(first: date, length: int, zone: ZoneInfo) -> None:
    """Every day ends where the next begins."""
    sequence = list(days(first, first + timedelta(days=length), zone))
    assert len(sequence) == length + 1
    for one, next_one in zip(sequence, sequence[1:], strict=False):
        assert one.end == next_one.start
