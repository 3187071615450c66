"""Queries for gauges, each with the values that it found last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Connection, Engine

from exporters.sql.database.days import Day
from exporters.sql.database.engine import reading
from telemetry.settings import Settings

from .figures import Figure
from .lease import LEASED_PERIODS, clock


@dataclass(frozen=True, slots=True)
class Found:
    """The values that a query found."""

    values: Mapping[str, float] = field(default_factory=dict)
    """By name of the metric; what is not known is missing."""
    until: datetime | None = None
    """The end of the day that they are about, aware."""


class Query:
    """A query that is repeated, and what it found last. One thread asks, others read."""

    def __init__(self, name: str, period: float, ask: Callable[[], Found]) -> None:
        """Begin without values.

        Args:
            name: value of the label `query` of the gauge of its age.
            period: seconds between two queries. Its values are shown for 2.5 periods at most.
            ask: returns the values of now.
        """
        self.name = name
        self._period = period
        self._ask = ask
        self.forget()

    def forget(self) -> None:
        """Drop the values: another process exports them."""
        self._found = Found()
        self._asked_at = clock()
        self._due = 0.0

    @property
    def is_due(self) -> bool:
        """Whether to ask: the period is over, or the day."""
        return clock() >= self._due or self._is_over(datetime.now(UTC))

    @property
    def age(self) -> float:
        """Seconds since it was asked without an error, or since there was anybody to ask."""
        return max(clock() - self._asked_at, 0.0)

    def ask(self) -> None:
        """Replace the values by those of now; an error leaves them as they are."""
        asked_at = clock()
        self._found = self._ask()
        self._asked_at, self._due = asked_at, asked_at + self._period

    def value(self, name: str) -> float | None:
        """Return the value of a metric; None if it is not known, too old, or of a day that is over."""
        if self.age > LEASED_PERIODS * self._period or self._is_over(datetime.now(UTC)):
            return None
        return self._found.values.get(name)

    def seconds_of_day(self) -> float | None:
        """Return the seconds until its day is over; None without a day, 0 after it."""
        if self._found.until is None:
            return None
        return max((self._found.until - datetime.now(UTC)).total_seconds(), 0.0)

    def _is_over(self, now: datetime) -> bool:
        return self._found.until is not None and now >= self._found.until


def found(engine: Engine, settings: Settings, figures: Sequence[Figure]) -> Found:
    """Return the values of ``figures`` now.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    now = datetime.now(UTC)
    today = Day.today(ZoneInfo(settings.timezone), now)
    values: dict[str, float] = {}
    for figure in figures:
        with _connection(engine) as connection:
            for metric, value in figure(connection, settings, today, now):
                if value is not None:
                    values[metric.name] = float(value)
    return Found(values, today.end.replace(tzinfo=UTC))


@contextmanager
def _connection(engine: Engine) -> Iterator[Connection]:
    """Open a connection to read; forks wait for it on SQLite only, whose locks belong to a process."""
    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            yield connection
    else:
        with engine.begin() as connection:
            yield connection
