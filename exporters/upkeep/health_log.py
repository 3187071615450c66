"""The daily check: write a row a day to `system_health_log`, and clean up.

It may run several times, late, and for days long ago: the row of a day is replaced by what is known then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from zoneinfo import ZoneInfo

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
from exporters.sql.schema.tables import system_health_log
from exporters.sql.storage import interruptions
from exporters.sql.storage.archived import is_day_archived
from exporters.sql.storage.warnings import settle
from telemetry.settings import Settings

from .health_day import HealthDay, health_of
from .sweep import Swept, sweep


@dataclass(frozen=True, slots=True)
class Tidied:
    """What the check cleaned up."""

    interrupted: int
    """Runs that were silent for too long."""
    shown: int
    """Rows of the host that lagged behind, and were updated."""
    abandoned: int
    """Warnings without an answer."""
    swept: Swept


class HealthCheck:
    """The daily check of one database."""

    def __init__(self, settings: Settings) -> None:
        """Prepare the check of the database in ``settings``.

        Raises:
            ValueError: if the URL cannot be used.
        """
        self._engine = create_engine(settings.database_url)
        self._settings = settings
        self._zone = ZoneInfo(settings.timezone)
        self.archived: list[date] = []
        """Days that were skipped because they are in an archive."""

    def __enter__(self) -> HealthCheck:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    def tidy(self) -> Tidied:
        """Interrupt runs that were silent for too long, update lagging host rows, and clean up references.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        age = timedelta(seconds=self._settings.stale_seconds)
        stale = interruptions.interrupt_stale(self._engine, age)
        shown = sum(self._show()) if self._settings.hmac_key else 0
        abandoned = settle(self._engine, timedelta(seconds=self._settings.warning_seconds))
        return Tidied(len(stale), shown, abandoned, sweep(self._engine))

    def log(self, first: date, last: date | None = None) -> Iterator[HealthDay]:
        """Write the days from ``first`` to ``last`` (default: today) to the log, and yield them.

        Days of which anything is in an archive are skipped, and added to :attr:`archived`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
            LookupError: if the table belongs to the host.
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
                health = health_of(connection, day)
                row = fit(system_health_log, health.row()).row
                upsert(connection, system_health_log, [row], by=("log_date",))
            yield health

    def findings(self, date: dt.date) -> list[Finding]:
        """Return the findings about a complete day.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        day = Day.of(date, self._zone)
        with transaction(self._engine) as connection:
            severe = list(alarms(connection, self._settings, day))
        return severe + insights(self._settings, day.end.replace(tzinfo=UTC), day_is_over=True)

    def yesterday(self) -> date:
        """Return the last day that is complete."""
        return Day.today(self._zone).date - timedelta(days=1)

    def _show(self) -> Iterator[bool]:
        """Update the rows that lag behind; one that the host has locked is left to the next check."""
        engine, rows = self._engine, HostRows(self._engine, self._settings.hmac_key.encode())
        done = (Projection.DONE, Projection.FILES_PENDING)
        for analysis_id in lagging_analyses(engine):
            yield _try(rows.project_analysis, analysis_id) in done
        for user_id in lagging_users(engine):
            yield _try(rows.project_user, user_id) in done


def _try(project: Callable[[int], Projection], row_id: int) -> Projection | None:
    """Update one row; return None if the database rejects it, so that others are updated."""
    try:
        return project(row_id)
    except (OperationalError, InterfaceError):
        raise
    except (SQLAlchemyError, *UNFIT):
        return None
