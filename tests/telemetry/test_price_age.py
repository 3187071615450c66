"""The age of prices: the newest change in a list, and the prices of a file that have ended."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices.data_snapshot import DataSnapshot
from hypothesis import given
from hypothesis import strategies as st

from telemetry.doctor.prices import OLD_LIST_DAYS, _list
from telemetry.pricing import price_list
from telemetry.pricing.price_file import FilePrice, PriceFile

DAYS = st.dates(date(2026, 1, 1), date(2026, 1, 9))
PRICES = st.builds(
    FilePrice,
    model=st.sampled_from(["a", "b"]),
    provider=st.sampled_from([None, "azure"]),
    until=DAYS,
    input=st.just(Decimal(1)),
)


def test_list_is_as_old_as_its_newest_change() -> None:
    """Changes announced for the future do not make it newer."""
    listed = price_list.snapshot()
    assert listed is not None
    newest = price_list.newest_change(listed, date.max)
    assert newest is not None
    before = price_list.newest_change(listed, newest - timedelta(days=1))
    assert before is not None and before < newest

    assert _list(newest + timedelta(days=OLD_LIST_DAYS)).result == "good"
    old = _list(newest + timedelta(days=OLD_LIST_DAYS + 1))
    assert old.result == "note"
    assert f"knows changes up to {newest}, {OLD_LIST_DAYS + 1} days ago" in old.text
    assert old.remedy.startswith("pip install --upgrade genai-prices")


def test_updated_list_has_a_timestamp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timestamp is its age; a list without any date is not called old."""
    updated = DataSnapshot([], from_auto_update=True, timestamp=datetime(2026, 3, 1))
    assert price_list.newest_change(updated, date(2030, 1, 1)) == date(2026, 3, 1)

    monkeypatch.setattr(price_list, "snapshot", lambda: DataSnapshot([], from_auto_update=False))
    assert _list(date(2030, 1, 1)).result == "good"


@given(st.lists(PRICES, max_size=6), DAYS)
def test_price_has_ended_if_no_other_follows(given_prices: list[FilePrice], day: date) -> None:
    """Of a model and provider either all prices have ended, or none is reported."""
    ended = PriceFile("1", tuple(given_prices)).ended(day)

    for price in given_prices:
        namesakes = [other for other in given_prices if other.of == price.of]
        assert (price in ended) == all(other.until <= day for other in namesakes)
