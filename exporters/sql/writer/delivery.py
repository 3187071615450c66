"""Delivers the entries of the spool (T1), and handles those that the database does not accept."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError, SQLAlchemyError, StatementError

from exporters.metrics.instruments import Metrics
from exporters.rollup.snapshot import NewerSnapshot, Snapshot
from exporters.spool.directory import Spool
from exporters.spool.entry import Entry
from exporters.spool.waiting import Waiting
from exporters.spool.warning_event import WarningEvent
from exporters.sql.database.engine import PERMANENT, once_committed
from exporters.sql.database.fitting import UNFIT
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage import warnings as warning_storage
from exporters.sql.storage.intake import claim_intake
from telemetry import conventions as c
from telemetry._internal.guard import guarded
from telemetry.settings import Settings

from .database import WriterDatabase
from .host_rows import WaitingRows
from .retry import Retry

MAX_CONSECUTIVE_FAILURES: Final = 3
"""Number of consecutive failures after which the database is taken to be unavailable."""
_ERRORS: Final = (SQLAlchemyError, OSError, *UNFIT)


class Delivery:
    """Stores entries of the spool; those that fail are postponed, or put into quarantine."""

    def __init__(
        self,
        settings: Settings,
        database: WriterDatabase,
        spool: Spool,
        metrics: Metrics,
        rows: WaitingRows,
    ) -> None:
        """Prepare.

        Args:
            settings: settings of the process.
            database: where entries are stored.
            spool: has the entries.
            metrics: for warnings.
            rows: take note of host rows that lag behind after a delivery.
        """
        self._settings = settings
        self._database = database
        self._spool = spool
        self._metrics = metrics
        self._rows = rows
        self._consecutive_failures = 0
        """Consecutive failures."""
        self._postponed: dict[str, Retry] = {}
        """The next attempts for fragments that fail now, so that the others do not wait for them.

        A run to which a newer version has added is left to a process of that version.
        """

    def next_times(self) -> list[float]:
        """Return the monotonic times of the next attempts.

        Most entries wait only for the database, so they are not examined one by one.
        """
        next_attempt = self._database.outage.due
        postponed = self._spool.due_among(self._postponed)
        at = [max(self._postponed[fragment_id].due, next_attempt) for fragment_id in postponed]
        return [*at, next_attempt] if self._spool.count_due() > len(postponed) else at

    def due(self) -> list[Waiting]:
        """Return the waiting fragments that are not postponed."""
        now = time.monotonic()
        return [waiting for waiting in self._spool.due() if self._postponed_until(waiting) <= now]

    def deliver_due(self, is_over: Callable[[], bool]) -> None:
        """Deliver what is due, until it ``is_over`` or the database is unavailable."""
        for waiting in self.due():
            if is_over():
                return
            entry = self._spool.newest(waiting)
            if entry is not None and not self.deliver(entry, self._spool.delivered, self._spool.quarantine):
                return

    def deliver(
        self, entry: Entry, delivered: Callable[[Entry], None], quarantine: Callable[[Entry, str], None]
    ) -> bool:
        """Deliver one entry; return False if the database is unavailable.

        Args:
            entry: the entry.
            delivered: called with the entry once it is committed.
            quarantine: called with an entry that the database refuses for good, and the reason.
        """
        try:
            if isinstance(entry, Snapshot):
                self._store(entry)
            else:
                self._store_warning(entry)
        except NewerSnapshot as error:
            self._database.failed("rollup", error)
            self._postpone(entry)
            return True
        except _ERRORS as error:
            self._database.failed("rollup", error)
            return self._handle_failure(entry, error, quarantine)
        self._database.outage, self._consecutive_failures = Retry(), 0
        self._postponed.pop(entry.fragment_id, None)
        once_committed(self._database.engine, partial(delivered, entry))
        return True

    def _store(self, snapshot: Snapshot) -> None:
        with self._database.measured("rollup"):
            result = run_storage.deliver(self._database.engine, snapshot)
            claimed = self._claim(snapshot)
        self._database.count_coerced(result.coerced)
        self._rows.note(result, bool(claimed))

    def _store_warning(self, event: WarningEvent) -> None:
        with self._database.measured("warning"):
            most = self._settings.warnings_per_day
            stored = warning_storage.deliver(self._database.engine, event, most)
        self._database.count_coerced(stored.coerced)
        for kind, action in stored.done:
            self._metrics.totals.add(c.WARNINGS, 1, type=kind, action=action)

    def _claim(self, snapshot: Snapshot) -> list[str]:
        """Charge intake to its analysis if this snapshot may be the first that connects them."""
        may_connect = snapshot.seq == 1 or snapshot.is_closed or snapshot.interrupted
        if not (snapshot.subject and may_connect):
            return []
        return claim_intake(self._database.engine, snapshot.run_id)

    def _handle_failure(
        self, entry: Entry, error: Exception, quarantine: Callable[[Entry, str], None]
    ) -> bool:
        """Handle an entry that could not be stored; return False if the database is unavailable."""
        if _is_permanent(error):
            with guarded("spool"):
                quarantine(entry, type(error).__name__)
                self._store_placeholder(entry)
                return True
            self._postpone(entry)  # the disk fails, too
            return True
        self._database.disconnect()
        self._consecutive_failures += 1
        if is_outage(error) or self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
            self._database.outage.wait()
            return False
        self._postpone(entry)
        return True

    def _store_placeholder(self, entry: Entry) -> None:
        """Store a placeholder, so that a run does not count as complete while a fragment is in quarantine.

        The root fragment needs none: without it the run has no end, and is not complete anyway.
        """
        if isinstance(entry, Snapshot) and not entry.is_root:
            with suppress(NewerSnapshot, *_ERRORS):
                self._store(entry.stand_in())

    def _postpone(self, entry: Entry) -> None:
        self._postponed.setdefault(entry.fragment_id, Retry()).wait()

    def _postponed_until(self, waiting: Waiting) -> float:
        retry = self._postponed.get(waiting.fragment_id)
        return retry.due if retry else 0.0


def _is_permanent(error: Exception) -> bool:
    """Return whether every later attempt would meet this error, because a value does not fit."""
    is_of_binding = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    return is_of_binding or isinstance(error, (*PERMANENT, *UNFIT))


def is_outage(error: Exception) -> bool:
    """Return whether the error concerns the whole database: it is unavailable, or busy."""
    outages = (OperationalError, DisconnectionError, sa.exc.TimeoutError, OSError)
    return isinstance(error, outages) or getattr(error, "connection_invalidated", False)
