"""The gauges from SQL: the product's own queries, on a database in which the months happen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.gauges.figures import DAYS, TODAY, Figure
from exporters.sql.database.days import Day
from exporters.sql.schema import migrate
from exporters.sql.schema.tables import runs, system_health_log
from telemetry import conventions as c
from telemetry.conventions import gauges

from . import scene
from .course import Course
from .jobs import Job
from .month import Month, Write
from .scene import BEGIN, END, HOUR, MINUTE, SETTINGS, ZONE, at, naive

GROWING: Final = (gauges.LAST_SUCCESS_AGE, gauges.OLDEST_RUN_AGE, gauges.HEALTH_LOG_AGE)
"""Ages, which grow between two queries."""


def courses(month: Month, folder: Path) -> dict[str, Course]:
    """Return the courses of the gauges from SQL, by the names of their metrics."""
    url = f"sqlite:///{folder / 'months.sqlite'}"
    migrate.upgrade(url, with_base_tables=True)
    engine = sa.create_engine(url)
    found: dict[str, Course] = {}
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        lost = [job.run["run_id"] for job in month.jobs if job.never_ends]
        database, days = _Database(connection, lost), _days(month)
        for second, together in groupby(_writes(month), key=lambda one: one[0]):
            for _, write in together:
                write(connection)
            if second >= BEGIN and not any(begin <= second < end for begin, end in month.no_database):
                database.look(second, found, TODAY)
                if second in days:
                    database.look(second, found, DAYS)
        connection.rollback()
    engine.dispose()
    for begin, end in month.no_database:
        for course in found.values():
            course.during(begin + MINUTE, end, None)
    return found


def _writes(month: Month) -> list[tuple[int, Write]]:
    """Return what is written, by the minute in which the next query sees it; and when only time passes."""
    writes: list[tuple[int, Write]] = []
    for job in month.jobs:
        writes.append((job.start, _begun(job)))
        if not job.never_ends:
            writes.append((job.end, _ended(job)))
    writes += month.written
    writes += [(second, _logged(day)) for day, second in month.logged.items()]
    writes += [(second, _nothing) for second in range(BEGIN, END, HOUR)]
    writes += [(second, _nothing) for second in _days(month)]
    return sorted(((second + -second % MINUTE, write) for second, write in writes), key=lambda one: one[0])


def _days(month: Month) -> set[int]:
    """Return when to ask what changes once a day: after midnight and the daily check, and now and then."""
    midnights = [at(day.month, day.day) for day in scene.DAYS]
    later = [second + hours * HOUR for second in midnights for hours in (6, 12, 18)]
    return {second + -second % MINUTE for second in (*midnights, *later, *month.logged.values())}


def _begun(job: Job) -> Write:
    running = {"status": c.RUNNING, "ended_at": None, "duration_us": None, "cost_complete": False}
    row = {**job.run, **running, "seen_at": job.run["started_at"], "cost_pico": 0}
    return lambda connection: connection.execute(runs.insert(), [row])


def _ended(job: Job) -> Write:
    row = {key: value for key, value in job.run.items() if key != "run_id"}
    change = runs.update().where(runs.c.run_id == job.run["run_id"]).values(row)
    return lambda connection: connection.execute(change)


def _logged(day: Any) -> Write:
    return lambda connection: connection.execute(system_health_log.insert(), [{"log_date": day}])


def _nothing(_: Connection) -> None:
    pass


class _Database:
    """The database with a clock of its own."""

    def __init__(self, connection: Connection, lost: Sequence[str]) -> None:
        self._connection = connection
        self._heard = runs.update().where(runs.c.status == c.RUNNING, runs.c.run_id.not_in(lost))
        self._now = BEGIN
        driver: Any = connection.connection.dbapi_connection
        driver.create_function("current_timestamp", 0, lambda: f"{naive(self._now):%Y-%m-%d %H:%M:%S}")
        self._last: dict[str, float | None] = {}

    def look(self, second: int, found: dict[str, Course], figures: Sequence[Figure]) -> None:
        """Ask figures, as the exporter of the gauges does, and note what has changed."""
        self._now = second
        self._connection.execute(self._heard.values(seen_at=naive(second)))  # a heartbeat comes each minute
        now = datetime.fromtimestamp(second, UTC)
        today = Day.today(ZONE, now)
        values = {
            metric: value
            for figure in figures
            for metric, value in figure(self._connection, SETTINGS, today, now)
        }
        for metric, value in values.items():
            course = found.setdefault(metric.name, Course(grows=metric in GROWING))
            if value is not None and course.grows:
                value = second - value
            new = None if value is None else float(value)
            if second == BEGIN or not course.changes or new != self._last.get(metric.name):
                course.set(second, new)
            self._last[metric.name] = new
