"""The delivery of what waits in the spool: T1, and what becomes of what the database does not take."""

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

MOST_IN_A_ROW: Final = 3
"""Entries that may fail one after another before the failure is taken for the database's."""
_TROUBLE: Final = (SQLAlchemyError, OSError, *UNFIT)


class Delivery:
    """Stores entries of the spool, and decides what becomes of those that fail."""

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
            spool: keeps them until then.
            metrics: count what is done.
            rows: the host's rows that lag behind after a delivery.
        """
        self._settings = settings
        self._database = database
        self._spool = spool
        self._metrics = metrics
        self._rows = rows
        self._in_a_row = 0
        """Entries that failed since one was stored."""
        self._postponed: dict[str, Retry] = {}
        """Fragments that hold up no others: of runs that a newer version of this code has touched, which
        will deliver them, and what the database does not take just now."""

    def next_times(self) -> list[float]:
        """Return when to deliver next: most wait for the database alone, and need not be looked at."""
        next_attempt = self._database.outage.due
        postponed = self._spool.due_among(self._postponed)
        at = [max(self._postponed[fragment_id].due, next_attempt) for fragment_id in postponed]
        return [*at, next_attempt] if self._spool.count_due() > len(postponed) else at

    def due(self) -> list[Waiting]:
        """Return what waits and is not postponed."""
        now = time.monotonic()
        return [waiting for waiting in self._spool.due() if self._postponed_until(waiting) <= now]

    def deliver_due(self, is_over: Callable[[], bool]) -> bool:
        """Deliver what waits; return False when the database is away."""
        for waiting in self.due():
            if is_over():
                return False
            entry = self._spool.newest(waiting)
            if entry is not None and not self.deliver(entry, self._spool.delivered, self._spool.quarantine):
                return False
        return True

    def deliver(
        self, entry: Entry, delivered: Callable[[Entry], None], quarantine: Callable[[Entry, str], None]
    ) -> bool:
        """Deliver one entry; return False when the database is away.

        Args:
            entry: the entry.
            delivered: called once it is committed.
            quarantine: puts it into quarantine, with the reason.
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
        except _TROUBLE as error:
            self._database.failed("rollup", error)
            return self._settle(entry, error, quarantine)
        self._database.outage, self._in_a_row = Retry(), 0
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
        """Charge intake to its analysis, where this snapshot may be the one that brings them together."""
        is_turn = snapshot.seq == 1 or snapshot.is_closed or snapshot.interrupted
        if not (snapshot.subject and is_turn):
            return []
        return claim_intake(self._database.engine, snapshot.run_id)

    def _settle(self, entry: Entry, error: Exception, quarantine: Callable[[Entry, str], None]) -> bool:
        """Decide what becomes of an entry that was not stored; return False when the database is away."""
        if _is_permanent(error):
            with guarded("spool"):
                quarantine(entry, type(error).__name__)
                self._note_missing_part(entry)
                return True
            self._postpone(entry)  # the disk refuses, too
            return True
        self._database.disconnect()
        self._in_a_row += 1
        if is_outage(error) or self._in_a_row >= MOST_IN_A_ROW:
            self._database.outage.wait()
            return False
        self._postpone(entry)
        return True

    def _note_missing_part(self, entry: Entry) -> None:
        """Keep a run from being taken for complete while a part of it is in quarantine.

        Without the part that began it, it has no end, and is not complete anyway.
        """
        if isinstance(entry, Snapshot) and not entry.is_root:
            with suppress(NewerSnapshot, *_TROUBLE):
                self._store(entry.stand_in())

    def _postpone(self, entry: Entry) -> None:
        self._postponed.setdefault(entry.fragment_id, Retry()).wait()

    def _postponed_until(self, waiting: Waiting) -> float:
        retry = self._postponed.get(waiting.fragment_id)
        return retry.due if retry else 0.0


def _is_permanent(error: Exception) -> bool:
    """Say whether an entry would meet this error again and again: a value does not fit."""
    is_of_binding = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    return is_of_binding or isinstance(error, (*PERMANENT, *UNFIT))


def is_outage(error: Exception) -> bool:
    """Say whether the database is away, or busy, for everybody."""
    outages = (OperationalError, DisconnectionError, sa.exc.TimeoutError, OSError)
    return isinstance(error, outages) or getattr(error, "connection_invalidated", False)
