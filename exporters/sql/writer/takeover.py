"""The takeover of what dead processes left in the spool, in steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from sqlalchemy.exc import SQLAlchemyError

from exporters.metrics.instruments import Metrics
from exporters.rollup.snapshot import NewerSnapshot, Snapshot
from exporters.spool.directory import Spool
from exporters.spool.entry import Entry
from exporters.spool.takeover import Takeover
from exporters.sql.database.engine import once_committed
from exporters.sql.database.fitting import UNFIT
from exporters.sql.storage import interruptions
from telemetry._internal.guard import report
from telemetry.settings import Settings

from . import tenancy
from .database import WriterDatabase
from .delivery import Delivery, is_outage
from .host_rows import WaitingRows


class Takeovers:
    """Rounds through the directories of dead processes. A round may be interrupted, and continues later."""

    def __init__(
        self,
        settings: Settings,
        database: WriterDatabase,
        spool: Spool,
        metrics: Metrics,
        delivery: Delivery,
        rows: WaitingRows,
    ) -> None:
        """Prepare; the first round is due.

        Args:
            settings: settings of the process.
            database: where the entries are stored.
            spool: finds the directories of dead processes.
            metrics: for fragments that were open.
            delivery: delivers the entries.
            rows: take note of host rows that lag behind.
        """
        self._settings = settings
        self._database = database
        self._spool = spool
        self._metrics = metrics
        self._delivery = delivery
        self._rows = rows
        self._round: Iterator[None] | None = None
        self.is_done = False
        """Whether no round is due."""
        self.has_left_some = False
        """Whether something was left in a directory, for the next round."""

    def plan(self) -> None:
        """Make a round due; one that is under way continues."""
        self.is_done = False

    def restart(self) -> None:
        """Make a round due that begins with the first directory."""
        self.is_done = False
        self._round = None

    def stop(self) -> None:
        """Give up the round that is under way, and unlock the directory in which it is."""
        self._round = None

    def go_on(self, is_over: Callable[[], bool]) -> None:
        """Take over what dead processes left, until it ``is_over``; the next call continues from there."""
        if self.is_done:
            return
        if self._round is None:
            self.has_left_some = False
            self._round = self._all()
        try:
            for _ in self._round:
                if is_over():
                    return
        except OSError as error:  # must not keep the entries of this process from being delivered
            report("spool", error)
            self.is_done = self.has_left_some = True
        self._round = None

    def _all(self) -> Iterator[None]:
        """Deliver what is in the directories of dead processes; end early if the database is unavailable."""
        self._spool.measure()
        for dead in self._spool.takeovers():
            try:
                yield from self._one(dead)
            except OSError as error:
                report("spool", error)
                self.has_left_some = True
            if self._database.is_in_outage:
                return
        try:
            self._rows.note_lagging()
        except SQLAlchemyError as error:
            self._database.failed("projection", error)
            self._database.outage.wait()
            return
        self.is_done = True

    def _one(self, dead: Takeover) -> Iterator[None]:
        """Deliver what a dead process left, and yield before each entry.

        It ends early if the database is unavailable.
        """

        def quarantine(entry: Entry, reason: str) -> None:
            self._spool.quarantine(entry, reason)
            dead.delivered(entry)

        try:
            for entry in self._left_by(dead):
                yield
                if not self._delivery.deliver(entry, dead.delivered, quarantine):
                    return
                if isinstance(entry, Snapshot) and entry.interrupted:
                    self._metrics.of(entry).unaccounted("unclosed")
            for result in interruptions.interrupt_process(self._database.engine, dead.process_id):
                self._database.count_coerced(result.coerced)
                self._rows.note(result, has_claimed=False)
        except (NewerSnapshot, SQLAlchemyError, *UNFIT) as error:
            self._database.failed("rollup", error)
            if is_outage(error):
                self._database.outage.wait()
            else:
                self.has_left_some = True
            return
        once_committed(self._database.engine, dead.finish)

    def _left_by(self, dead: Takeover) -> Iterator[Entry]:
        """Yield the entries of a dead process that are for our tables.

        Entries of an earlier version do not name their tables.
        """
        engine = self._database.engine
        for entry in dead.entries(cache(self._is_ours)):
            may_be_anothers = dead.is_ambiguous
            if dead.is_old and not tenancy.belongs_here(engine, entry, may_be_anothers=may_be_anothers):
                dead.leave(entry)
                self.has_left_some = True
            else:
                yield entry

    def _is_ours(self, user: str) -> bool:
        """Return whether entries of a process of the database user ``user`` belong in our tables."""
        return not tenancy.have_different_tables(self._database.engine, self._settings.spool_user(), user)
