"""The host's rows that lag behind, and when each of them is updated (T2 and T3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from exporters.sql.database.fitting import UNFIT
from exporters.sql.host.columns import PAGE
from exporters.sql.host.needs import Use
from exporters.sql.projection import behind
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.storage.runs import Delivered
from telemetry import conventions as c

from .database import WriterDatabase
from .retry import LAST_RETRY_SECONDS, Retry

LAST_PROJECTION_SECONDS: Final = 3600.0

_log = logging.getLogger("telemetry")


class WaitingRows:
    """Rows of the host that are to be updated, with the time of the next attempt."""

    def __init__(self, database: WriterDatabase, key: bytes) -> None:
        """Prepare; no row waits yet.

        Args:
            database: where the rows are.
            key: secret of the documents' hashes.
        """
        self._database = database
        self._rows = HostRows(database.engine, key, on_coerced=database.count_coerced)
        self._analyses: dict[int, Retry] = {}
        self._users: dict[int, Retry] = {}
        self._has_warned = False
        self.has_host_committed = False
        """Whether the host has committed something since :meth:`look_again`."""

    def note(self, result: Delivered, has_claimed: bool) -> None:
        """Add the rows that lag behind after a delivery.

        Args:
            result: the stored state of the run.
            has_claimed: whether intake was charged to its analysis.
        """
        if result.status != c.RUNNING or result.is_shown or has_claimed:
            if result.analysis_id is not None:
                self._analyses[result.analysis_id] = Retry()
            if has_claimed:
                self.note_lagging()
            if result.user_id is not None:
                self._users[result.user_id] = Retry()

    def note_lagging(self) -> None:
        """Add all rows that lag behind by the database.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        for analysis_id in behind.lagging_analyses(self._database.engine):
            self._analyses.setdefault(analysis_id, Retry())
        for user_id in behind.lagging_users(self._database.engine):
            self._users.setdefault(user_id, Retry())

    def host_committed(self) -> bool:
        """Note a commit of the host; return whether a row may have waited for it."""
        if self._analyses or self._users:
            self.has_host_committed = True
            return True
        return False

    def look_again(self) -> None:
        """After a commit of the host, make the rows due that may have waited for it."""
        if not self.has_host_committed:
            return
        self.has_host_committed = False
        now = time.monotonic()
        for retry in self._users.values():
            retry.due = min(retry.due, now)
        if not self._analyses:
            return
        try:
            for analysis_id in behind.lagging_analyses(self._database.engine):
                retry = self._analyses.setdefault(analysis_id, Retry())
                retry.due = min(retry.due, now)
        except SQLAlchemyError as error:
            self._database.failed("projection", error)
            self._database.outage.wait()

    def next_times(self) -> list[float]:
        """Return the monotonic times of the next attempts."""
        next_attempt = self._database.outage.due
        return [max(retry.due, next_attempt) for retry in (*self._analyses.values(), *self._users.values())]

    def has_pressing(self) -> bool:
        """Return whether another attempt at a row may succeed at once."""
        return any(retry.is_pressing for retry in (*self._analyses.values(), *self._users.values()))

    def project_due(self, is_over: Callable[[], bool]) -> None:
        """Update the rows that are due, until it ``is_over``."""
        now = time.monotonic()
        for analysis_id, retry in list(self._analyses.items()):
            if retry.due <= now and not is_over():
                self._attempt("projection", self._analyses, analysis_id, self._rows.project_analysis)
        for user_id, retry in list(self._users.items()):
            if retry.due <= now and not is_over():
                self._attempt("user", self._users, user_id, self._rows.project_user)

    def _attempt(
        self,
        transaction: str,
        waiting: dict[int, Retry],
        row_id: int,
        project: Callable[[int], Projection],
    ) -> None:
        try:
            with self._database.measured(transaction):
                self._warn_of_missing()
                outcome = project(row_id)
        except SQLAlchemyError as error:
            self._database.failed(transaction, error)
            self._rows.forget_columns()
            if not isinstance(error, OperationalError):
                self._database.disconnect()
            outcome = Projection.BUSY
        except (OSError, *UNFIT) as error:  # concerns this row alone
            self._database.failed(transaction, error)
            outcome = Projection.MISSING
        is_busy = outcome is Projection.BUSY
        longest = LAST_RETRY_SECONDS if is_busy else LAST_PROJECTION_SECONDS
        if outcome is Projection.DONE or (not is_busy and waiting[row_id].pause >= longest):
            waiting.pop(row_id, None)  # a row that does not appear is left to the daily check
        else:
            waiting[row_id].is_pressing = is_busy
            waiting[row_id].wait(longest)

    def _warn_of_missing(self) -> None:
        """Log, once for each process, which columns of the application are missing, and the consequences."""
        if self._has_warned:
            return
        if left_out := self._rows.columns.left_out(Use.PROJECTION):
            _log.warning("telemetry does without %s; see %s", "; ".join(left_out), PAGE)
        self._has_warned = True
