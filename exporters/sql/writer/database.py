"""The writer's database: one engine, with time limits, outages, and pauses between transactions."""

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
"""On SQLite, the age at which a transaction begins no more work, because nobody else can write meanwhile."""
REST_SECONDS: Final = 1.0
"""On SQLite, the shortest pause between two transactions of this process."""
REST_FACTOR: Final = 10
"""How many times as long as the transaction this pause lasts, within its two limits."""
LONGEST_REST_SECONDS: Final = 5.0

_log = logging.getLogger("telemetry")


class WriterDatabase:
    """The database of the writer of one process."""

    def __init__(self, settings: Settings, spool: Spool, metrics: Metrics) -> None:
        """Prepare; nothing connects yet.

        Args:
            settings: settings of the process.
            spool: where rollups wait during an outage; named in the log.
            metrics: for failures, and durations of transactions.

        Raises:
            ValueError: if TELEMETRY_DATABASE_URL cannot be used.
            ImportError: if the driver that it names is not installed.
        """
        self._spool, self._metrics = spool, metrics
        self._reset()
        # One for the life of the process: when an engine is freed, the garbage collector calls Python code.
        self.engine: Final = create_engine(settings.database_url, self._connect_seconds, limits=self._limits)

    def _reset(self) -> None:
        self.deadline: float | None = None
        """Monotonic time at which the process must end; None while it is not ending."""
        self.outage = Retry()
        """When to try the database again after an outage."""
        self.rests_until = 0.0
        """Monotonic time at which SQLite may be written to again."""
        self._logged_at = -LOG_INTERVAL_SECONDS

    @property
    def is_in_outage(self) -> bool:
        """Whether the pause after a failed attempt in an outage is not over."""
        return time.monotonic() < self.outage.due

    def next_turn(self) -> float:
        """Return the monotonic time at which the database may be written to."""
        return max(self.outage.due, self.rests_until)

    def close(self) -> None:
        """Close the connections; the next transaction opens another."""
        self.engine.dispose()

    def after_fork(self) -> None:
        """Start anew in a forked child. The connections belong to its parent, and stay open."""
        self.engine.dispose(close=False)
        self._reset()

    def disconnect(self) -> None:
        """Close idle connections, which may cause failures: one to a standby stays read-only."""
        pool = self.engine.pool
        if isinstance(pool, sa.QueuePool) and pool.checkedin():
            self.engine.dispose()

    def failed(self, transaction: str, error: Exception) -> None:
        """Count a failure, and log it if none was logged in the last minute."""
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
        """Count values that had to be changed to fit, by column."""
        for column in columns:
            self._metrics.totals.add(c.VALUES_COERCED, 1, column=column)

    @contextmanager
    def measured(self, transaction: str) -> Iterator[None]:
        """Measure the duration of a transaction, even if it fails."""
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
        """Write to SQLite in one short transaction, then pause, because the host waits for our transactions.

        Args:
            deadline: monotonic time after which to begin no more work.
            undone: called when that transaction is rolled back.

        Yields:
            A function that returns whether to begin no more work, on PostgreSQL only after the deadline.
        """
        if self.engine.dialect.name != "sqlite":
            yield partial(is_past, deadline)
            return
        shared: Batch | None = None
        try:
            with batch(self.engine) as shared:
                yield partial(_is_over, shared, deadline)
        except BaseException as error:
            undone()
            if not isinstance(error, SQLAlchemyError):
                raise
            self.failed("rollup", error)
            self.outage.wait()
        finally:
            if shared is not None and shared.has_begun:
                rest = min(max(REST_SECONDS, REST_FACTOR * shared.seconds()), LONGEST_REST_SECONDS)
                self.rests_until = time.monotonic() + rest

    def _limits(self) -> Limits:
        """Return the limits of a transaction; while the process ends, they do not exceed the deadline."""
        if self.deadline is None:
            return DELIVERY
        left = max(self.deadline - time.monotonic(), 0.001)
        return Limits(*(min(limit, left) for limit in DELIVERY))

    def _connect_seconds(self) -> float:
        """Return the seconds to wait for a connection; while the process ends, at most until the deadline."""
        if self.deadline is None:
            return CONNECT_SECONDS
        return min(CONNECT_SECONDS, self.deadline - time.monotonic())


def is_past(deadline: float | None) -> bool:
    """Return whether there is a deadline, and it has passed."""
    return deadline is not None and time.monotonic() >= deadline


def _is_over(shared: Batch, deadline: float | None) -> bool:
    return shared.seconds() >= BURST_SECONDS or is_past(deadline)
