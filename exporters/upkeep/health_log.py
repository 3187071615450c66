"""The daily check: a row a day in `system_health_log`, and what nobody else tidies up.

It may run twice, late, and for days long gone: each time the row says what is known of that day by then.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from exporters.findings.alarms import alarms
from exporters.findings.finding import Finding
from exporters.findings.insights import insights
from exporters.sql.database.days import Day, days
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import UNFIT, fit
from exporters.sql.database.statements import upsert
from exporters.sql.projection.behind import lagging_analyses, lagging_users
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import JOBS, runs, system_health_log
from exporters.sql.storage import interruptions
from exporters.sql.storage.archived import is_day_archived
from exporters.sql.storage.warnings import settle
from telemetry.conventions import COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE, UNKNOWN
from telemetry.pricing.prices import to_dollars
from telemetry.settings import Settings

from .sweep import Swept, sweep

LONGEST_JOB: Final = timedelta(days=7)
"""Jobs that began earlier are not looked at when those under way at once are counted."""

Interval = tuple[datetime, datetime | None]
"""When a job began and ended; None: it goes on."""


@dataclass(frozen=True, slots=True)
class HealthDay:
    """What is known of one day: the jobs and runs that began on it."""

    date: dt.date
    jobs_completed: int
    """Also those of which a part failed."""
    jobs_failed: int
    """Also those that were interrupted; whether or not the host has a row of them."""
    jobs_unknown: int
    """Jobs of history whose ending nobody recorded; they are in no column of the log."""
    avg_processing_time: float | None
    """Seconds; None without a job that ended."""
    cost_pico: int | None
    """Of all runs, whatever their kind; None where all are history, of which nobody knows the cost."""
    rate_limit_incidents: int
    """Runs that met a 429."""
    error_types: dict[str, int]
    peak_concurrent_jobs: int
    total_candidates_processed: int
    total_api_calls: int

    def row(self) -> dict[str, Any]:
        """Return it as a row of `system_health_log`."""
        return {
            "log_date": self.date,
            "jobs_completed": self.jobs_completed,
            "jobs_failed": self.jobs_failed,
            "avg_processing_time": self.avg_processing_time,
            "total_api_spend": None if self.cost_pico is None else to_dollars(self.cost_pico),
            "rate_limit_incidents": self.rate_limit_incidents,
            "error_types": json.dumps(self.error_types) if self.error_types else None,
            "peak_concurrent_jobs": self.peak_concurrent_jobs,
            "total_candidates_processed": self.total_candidates_processed,
            "total_api_calls": self.total_api_calls,
        }


@dataclass(frozen=True, slots=True)
class Tidied:
    """What the check found left over."""

    interrupted: int
    """Runs of which nothing had been heard for long."""
    shown: int
    """Rows of the host's that lagged behind and are up to date now."""
    abandoned: int
    """Warnings that nobody answered."""
    swept: Swept


class HealthCheck:
    """The daily check of one database."""

    def __init__(self, settings: Settings) -> None:
        """Look at the database that ``settings`` name.

        Raises:
            ValueError: for a URL that cannot be used.
        """
        self._engine = create_engine(settings.database_url)
        self._settings = settings
        self._zone = ZoneInfo(settings.timezone)
        self.archived: list[date] = []
        """Days that were left as they are."""

    def __enter__(self) -> HealthCheck:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    def tidy(self) -> Tidied:
        """Close runs of which nothing was heard for long, and bring the host's rows up to date.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        age = timedelta(seconds=self._settings.stale_seconds)
        stale = interruptions.interrupt_stale(self._engine, age)
        shown = sum(self._show()) if self._settings.hmac_key else 0
        abandoned = settle(self._engine, timedelta(seconds=self._settings.warning_seconds))
        return Tidied(len(stale), shown, abandoned, sweep(self._engine))

    def log(self, first: date, last: date | None = None) -> Iterator[HealthDay]:
        """Write the days from ``first`` to ``last`` (default: today) to the log, and yield them.

        Days of which something is in an archive are left as they are, and are then in :attr:`archived`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
            LookupError: when the table is the host's own.
        """
        for day in days(first, last or Day.today(self._zone).date, self._zone):
            with transaction(self._engine) as connection:
                if not is_ours(connection, system_health_log):
                    raise LookupError(
                        f"{system_health_log.name} is the application's own: rename it, and upgrade again"
                    )
                if is_day_archived(connection, day):
                    self.archived.append(day.date)
                    continue
                found = health_of(connection, day)
                row = fit(system_health_log, found.row()).row
                upsert(connection, system_health_log, [row], by=("log_date",))
            yield found

    def findings(self, date: dt.date) -> list[Finding]:
        """Return what stands out about a day that is over.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        day = Day.of(date, self._zone)
        with transaction(self._engine) as connection:
            found = list(alarms(connection, self._settings, day))
        return found + insights(self._settings, day.end.replace(tzinfo=UTC), day_is_over=True)

    def yesterday(self) -> date:
        """Return the last day that is complete."""
        return Day.today(self._zone).date - timedelta(days=1)

    def _show(self) -> Iterator[bool]:
        """Project what lags behind; a row that the host holds is left to its writer, and to tomorrow."""
        engine, rows = self._engine, HostRows(self._engine, self._settings.hmac_key.encode())
        done = (Projection.DONE, Projection.FILES_PENDING)
        for analysis_id in lagging_analyses(engine):
            yield _try(rows.project_analysis, analysis_id) in done
        for user_id in lagging_users(engine):
            yield _try(rows.project_user, user_id) in done


def _try(project: Callable[[int], Projection], row_id: int) -> Projection | None:
    """Bring one row up to date, or None: one that the database refuses keeps no other from it."""
    try:
        return project(row_id)
    except (OperationalError, InterfaceError):
        raise
    except (SQLAlchemyError, *UNFIT):
        return None


def health_of(connection: Connection, day: Day) -> HealthDay:
    """Return what is known of a day."""
    began = sa.and_(runs.c.started_at >= day.start, runs.c.started_at < day.end, runs.c.synthetic.is_(False))
    is_job = runs.c.kind.in_(JOBS)
    completed = sa.and_(is_job, runs.c.status.in_((COMPLETED, PARTIAL_FAILURE)))
    failed = sa.and_(is_job, runs.c.status.in_((FAILED, INTERRUPTED)))
    ended = sa.or_(completed, failed)
    query = sa.select(
        sa.func.count(sa.case((completed, 1))),
        sa.func.count(sa.case((failed, 1))),
        sa.func.avg(sa.case((ended, runs.c.duration_us))),
        sa.func.count(sa.case((sa.and_(is_job, runs.c.status == UNKNOWN), 1))),
        sa.func.sum(
            sa.case((runs.c.kind != "import", sa.func.coalesce(runs.c.repriced_pico, runs.c.cost_pico)))
        ),
        sa.func.count(),
        sa.func.count(sa.case((runs.c.rate_limit_hits > 0, 1))),
        sa.func.coalesce(sa.func.sum(sa.case((ended, runs.c.candidates))), 0),
        sa.func.coalesce(sa.func.sum(runs.c.api_calls), 0),
    ).where(began)
    found = connection.execute(query).one()
    done, broken, mean_us, unknown, pico, number, limited, candidates, calls = found
    errors = sa.select(runs.c.error_types).where(began, runs.c.error_types.is_not(None))
    return HealthDay(
        date=day.date,
        jobs_completed=done,
        jobs_failed=broken,
        jobs_unknown=unknown,
        avg_processing_time=None if mean_us is None else round(float(mean_us) / 1e6, 3),
        cost_pico=(None if number else 0) if pico is None else int(pico),
        rate_limit_incidents=limited,
        error_types=_error_types(connection.execute(errors).scalars()),
        peak_concurrent_jobs=peak(_intervals(connection, day), day.start, day.end),
        total_candidates_processed=int(candidates),
        total_api_calls=int(calls),
    )


def peak(intervals: Iterable[Interval], start: datetime, end: datetime) -> int:
    """Return how many of ``intervals`` there were at once between ``start`` and ``end``, at most.

    One that ends as another begins is not under way at the same time as that.
    """
    steps = []
    for began, ended in intervals:
        if began < end and (ended is None or ended > start):
            steps.append((max(began, start), 1))
            if ended is not None and ended < end:
                steps.append((ended, -1))
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def _intervals(connection: Connection, day: Day) -> Iterator[Interval]:
    """Yield the jobs under way on a day.

    One without an end that is over all the same, as history may be, is not known to have been under way.
    """
    query = sa.select(runs.c.started_at, runs.c.ended_at).where(
        runs.c.kind.in_(JOBS),
        runs.c.synthetic.is_(False),
        runs.c.started_at >= day.start - LONGEST_JOB,
        runs.c.started_at < day.end,
        sa.or_(runs.c.ended_at > day.start, sa.and_(runs.c.ended_at.is_(None), runs.c.status == "running")),
    )
    for row in connection.execute(query):
        yield row[0], row[1]


def _error_types(texts: Iterable[str]) -> dict[str, int]:
    """Add up the errors of many runs by type, the most frequent first."""
    found: Counter[str] = Counter()
    for text in texts:
        for entry in json.loads(text):
            found[entry["type"]] += entry["count"]
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))
