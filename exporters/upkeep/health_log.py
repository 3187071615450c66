"""The daily check: a row a day in `system_health_log`, and what nobody else tidies up.

It may run twice, late, and for days long gone: each time the row says what is known of that day by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from exporters.findings.alarms import alarms
from exporters.findings.finding import Finding
from exporters.findings.insights import insights
from exporters.metrics.totals import Totals
from exporters.sql.database.days import Day, days
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import UNFIT, fit
from exporters.sql.database.statements import upsert
from exporters.sql.projection.analyses import Writable, project
from exporters.sql.projection.behind import lagging_analyses, lagging_users
from exporters.sql.projection.host_tables import Projection
from exporters.sql.projection.users import refresh_user
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
        self._totals = Totals()
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
        stale = interruptions.interrupt_stale(self._engine, age, self._totals)
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
                row = fit(system_health_log, found.row(), self._totals)
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
        engine, key = self._engine, self._settings.hmac_key.encode()
        writable = Writable.load(engine)
        done = (Projection.DONE, Projection.FILES_PENDING)
        for analysis_id in lagging_analyses(engine):
            yield _try(partial(project, engine, analysis_id, writable, key, self._totals)) in done
        for user_id in lagging_users(engine):
            yield _try(partial(refresh_user, engine, user_id, writable, self._totals)) in done


def _try(show: Callable[[], Projection]) -> Projection | None:
    """Bring one row up to date, or None: one that the database refuses keeps no other from it."""
    try:
        return show()
    except (OperationalError, InterfaceError):
        raise
    except (SQLAlchemyError, *UNFIT):
        return None
