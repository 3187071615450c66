"""The writer's database: one engine, with its time limits, its outages and its rests."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from exporters.metrics.instruments import Metrics
from exporters.spool.directory import Spool
from exporters.sql.database.engine import CONNECT_SECONDS, Batch, batch, create_engine
from exporters.sql.database.limits import DELIVERY, Limits
from telemetry import conventions as c
from telemetry._internal.urls.secrets import driver_error
from telemetry.settings import Settings

from .retry import Retry

LOG_INTERVAL_SECONDS: Final = 60.0
BURST_SECONDS: Final = 0.1
"""On SQLite, the age at which a transaction takes in nothing more: nobody else can write meanwhile."""
REST_SECONDS: Final = 1.0
"""On SQLite, the shortest pause between two transactions of this process."""
REST_FACTOR: Final = 10
"""The rest lasts at least this many times as long as the transaction took, up to the longest rest."""
LONGEST_REST_SECONDS: Final = 5.0

_log = logging.getLogger("telemetry")


class WriterDatabase:
    """The database as the writer of one process sees it."""

    def __init__(self, settings: Settings, spool: Spool, metrics: Metrics) -> None:
        """Prepare; nothing connects yet.

        Args:
            settings: settings of the process.
            spool: where rollups wait during an outage; the log names it.
            metrics: count failures, and measure transactions.

        Raises:
            ValueError: if TELEMETRY_DATABASE_URL cannot be used.
            ImportError: if the driver that it names is not installed.
        """
        self._spool, self._metrics = spool, metrics
        self._reset()
        # One for the life of the process: to forget an engine, the garbage collector calls Python code.
        self.engine: Final = create_engine(settings.database_url, self._patience, limits=self._limits)

    def _reset(self) -> None:
        self.deadline: float | None = None
        """When the process has to be done, once it ends; by the monotonic clock."""
        self.outage = Retry()
        """When the database is asked again after a failure that concerns everybody."""
        self.rests_until = 0.0
        """When SQLite may be written to again."""
        self._logged_at = -LOG_INTERVAL_SECONDS

    @property
    def is_away(self) -> bool:
        """Whether the pause after an outage is not over."""
        return time.monotonic() < self.outage.due

    def next_turn(self) -> float:
        """Return when the database may be written to, by the monotonic clock."""
        return max(self.outage.due, self.rests_until)

    def close(self) -> None:
        """Close the connections; the next transaction opens another."""
        self.engine.dispose()

    def after_fork(self) -> None:
        """Start anew in a forked child; the connections are its parent's, and stay open."""
        self.engine.dispose(close=False)
        self._reset()

    def disconnect(self) -> None:
        """Close idle connections, which may be the reason of a failure: one to a standby stays read-only."""
        pool = self.engine.pool
        if isinstance(pool, sa.QueuePool) and pool.checkedin():
            self.engine.dispose()

    def failed(self, transaction: str, error: Exception) -> None:
        """Count a failure, and log it unless one was logged lately."""
        self._metrics.totals.add(c.WRITER_FAILURES, 1, transaction=transaction)
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = now
            _log.warning(
                "telemetry cannot write to its database (%s); rollups wait in %s, the application goes on",
                driver_error(error),
                self._spool.root,
            )

    def count_coerced(self, columns: Iterable[str]) -> None:
        """Count values that had to be made to fit, by the column that each is for."""
        for column in columns:
            self._metrics.totals.add(c.VALUES_COERCED, 1, column=column)

    @contextmanager
    def measured(self, transaction: str) -> Iterator[None]:
        """Measure how long a transaction takes, also one that fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - started
            self._metrics.observe(c.WRITER_DURATION, elapsed, transaction=transaction)

    @contextmanager
    def burst(
        self, deadline: float | None = None, *, undone: Callable[[], object]
    ) -> Iterator[Callable[[], bool]]:
        """Write to SQLite in one short transaction, then rest: the host waits for each that we make.

        Args:
            deadline: when to begin nothing more, by the monotonic clock.
            undone: called when that transaction is rolled back.

        Yields:
            A function that says whether to begin nothing more; on PostgreSQL, only after the ``deadline``.
        """
        if self.engine.dialect.name != "sqlite":
            yield partial(is_past, deadline)
            return
        whole: Batch | None = None
        try:
            with batch(self.engine) as whole:
                yield partial(_is_over, whole, deadline)
        except BaseException as error:
            undone()
            if not isinstance(error, SQLAlchemyError):
                raise
            self.failed("rollup", error)
            self.outage.wait()
        finally:
            if whole is not None and whole.has_begun:
                rest = min(max(REST_SECONDS, REST_FACTOR * whole.seconds()), LONGEST_REST_SECONDS)
                self.rests_until = time.monotonic() + rest

    def _limits(self) -> Limits:
        """Return how long a transaction may take: at the end of the process, only until the deadline."""
        if self.deadline is None:
            return DELIVERY
        left = max(self.deadline - time.monotonic(), 0.001)
        return Limits(*(min(limit, left) for limit in DELIVERY))

    def _patience(self) -> float:
        """Return for how many seconds to wait for a connection: likewise only until the deadline."""
        if self.deadline is None:
            return CONNECT_SECONDS
        return min(CONNECT_SECONDS, self.deadline - time.monotonic())


def is_past(deadline: float | None) -> bool:
    """Say whether there is a deadline, and it is over."""
    return deadline is not None and time.monotonic() >= deadline


def _is_over(whole: Batch, deadline: float | None) -> bool:
    return whole.seconds() >= BURST_SECONDS or is_past(deadline)
