"""Jobs and cost by day, week or month of a time zone, all from one query."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day
from telemetry.conventions import FAILED, INTERRUPTED, PARTIAL_FAILURE

from .lines import Money, Period
from .selection import Selection

MOST_DAYS: Final = 31
"""Longest report that lists days; a longer one lists weeks."""
MOST_DAYS_AS_WEEKS: Final = 366
"""Longest report that lists weeks; a longer one lists months."""

IMPORT: Final = "import"
"""Kind of the imported jobs: neither their cost nor their failures are known."""
_ENDINGS: Final = (FAILED, INTERRUPTED, PARTIAL_FAILURE)
JOB_KINDS: Final = ("analysis", IMPORT)


def unit(first: date, last: date) -> str:
    """Return what is listed: ``day``, ``week`` or ``month``."""
    length = (last - first).days + 1
    return "day" if length <= MOST_DAYS else "week" if length <= MOST_DAYS_AS_WEEKS else "month"


def parts(first: date, last: date) -> Iterator[tuple[date, date]]:
    """Yield the first and the last day of each day, week (from Monday) or month, cut to the period."""
    step = unit(first, last)
    while first <= last:
        end = min(_end(first, step), last)
        yield first, end
        first = end + timedelta(days=1)


def _end(day: date, step: str) -> date:
    if step == "day":
        return day
    if step == "week":
        return day + timedelta(days=6 - day.weekday())
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def periods(connection: Connection, selection: Selection) -> list[Period]:
    """Return all periods, including those without a run."""
    spans = list(parts(selection.first.date, selection.last.date))
    starts = [Day.of(first, selection.zone).start for first, _ in spans]
    run = selection.spend().c
    # The number of the period that a run began in: the last one that had begun by then.
    number = sa.case(
        *(
            (run.started_at >= sa.bindparam(None, start, type_=sa.DateTime()), place)
            for place, start in reversed(list(enumerate(starts)))
        )
    ).label("number")
    is_job = run.kind.in_(JOB_KINDS)
    query = sa.select(
        number,
        sa.func.count(sa.case((is_job, 1))),
        *(sa.func.count(sa.case((sa.and_(is_job, run.status == status), 1))) for status in _ENDINGS),
        sa.func.sum(run.cost_pico),
        sa.func.count(sa.case((sa.not_(run.cost_complete), 1))),
    ).group_by(sa.text("number"))
    by_number = {place: numbers for place, *numbers in connection.execute(query)}
    return [
        Period(first, last, *_figures(by_number[place])) if place in by_number else Period(first, last)
        for place, (first, last) in enumerate(spans)
    ]


def _figures(numbers: list[Any]) -> tuple[int, int, int, int, Money]:
    jobs, failed, interrupted, partial, pico, incomplete = numbers
    return jobs, failed, interrupted, partial, Money.of(pico, incomplete)
