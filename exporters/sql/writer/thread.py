"""The threads of a process that save checkpoints and deliver snapshots, started by its first run.

They sleep until something is due or, while no run is open and nothing waits, until they are woken. However
long the database is unavailable, snapshots stay in the spool, and the host never waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from exporters.metrics.instruments import Metrics
from exporters.recording.fragments import Fragments
from exporters.rollup.snapshot import Snapshot
from exporters.spool.directory import Spool
from exporters.sql.database.engine import transaction
from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded
from telemetry.settings import Settings

from .database import WriterDatabase, is_past
from .delivery import Delivery
from .host_rows import WaitingRows
from .retry import FIRST_RETRY_SECONDS
from .takeover import Takeovers

if TYPE_CHECKING:
    from .chores import DailyCheck


class Writer:
    """Moves snapshots of fragments to the spool, and from the spool to the database."""

    def __init__(
        self,
        settings: Settings,
        fragments: Fragments,
        spool: Spool,
        metrics: Metrics,
        daily_check: Callable[[Callable[[], None]], DailyCheck] | None = None,
    ) -> None:
        """Prepare; nothing runs before :meth:`wake`.

        Args:
            settings: settings of the process.
            fragments: has the state of the runs.
            spool: keeps snapshots until the database has them.
            metrics: for failures, durations and warnings.
            daily_check: creates the daily check, also after a fork; gets a function that wakes this thread.

        Raises:
            ValueError: if TELEMETRY_DATABASE_URL cannot be used.
            ImportError: if the driver that it names is not installed.
        """
        self._settings = settings
        self._fragments = fragments
        self._spool = spool
        self._metrics = metrics
        self._new_daily_check = daily_check
        self._database = WriterDatabase(settings, spool, metrics)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        """Unlike an Event, it takes no lock that a garbage collection in the same thread could block on."""
        self._saves: SimpleQueue[None] = SimpleQueue()
        """The same for the thread that saves, which never waits for the database."""
        self._thread: threading.Thread | None = None
        self._saver: threading.Thread | None = None
        self._stopping = False
        parts = (self._settings, self._database, self._spool, self._metrics)
        self._rows = WaitingRows(self._database, self._settings.hmac_key.encode())
        self._delivery = Delivery(*parts, self._rows)
        self._takeovers = Takeovers(*parts, self._delivery, self._rows)
        self._has_children = self._must_take_over = False
        """Whether children were forked inside a run, and whether to take over from them once it is over."""
        self._daily = None if self._new_daily_check is None else self._new_daily_check(self.nudge)
        self._heartbeat_at = time.monotonic() + self._settings.heartbeat_seconds

    def wake(self) -> None:
        """Wake the threads, because there may be something to do. The first call starts them."""
        if self._thread is None:
            self._start()
        self.nudge()

    def nudge(self) -> None:
        """Wake the threads, if they run. Takes no lock, so it may be called during a garbage collection."""
        for queue in (self._saves, self._wakeups):
            if queue.empty():
                queue.put(None)

    def host_committed(self) -> None:
        """Have rows of the host that were missing or locked tried again after a commit of the host."""
        if self._rows.host_committed():
            self.nudge()

    def has_forked(self) -> None:
        """Note that a child was forked inside an open run: it may die with what it added to that run."""
        self._has_children = self._must_take_over = True

    def save(self) -> None:
        """Put all that has changed into the spool, in this thread."""
        self._save(self._fragments.changed())

    def drain(self, seconds: float) -> bool:
        """Stop the threads and deliver what is left for at most ``seconds``; the rest stays in the spool.

        Returns:
            Whether everything was delivered.
        """
        self._database.deadline = deadline = time.monotonic() + seconds
        self._stop(deadline)
        with guarded("writer"), suppressed():
            self.save()
            if self._has_children:
                self._takeovers.restart()
                self._takeovers.go_on(partial(is_past, deadline))
            while time.monotonic() < deadline and self._delivery.due():
                with self._burst(deadline) as is_over:
                    self._delivery.deliver_due(is_over)
                if self._database.is_in_outage:
                    time.sleep(max(min(0.05, deadline - time.monotonic()), 0))
            with self._burst(deadline):
                self._rows.look_again()
                self._rows.project_due(partial(is_past, deadline))
        self._takeovers.stop()
        self._database.close()
        return not self._spool.count_due()

    def recover(self, seconds: float) -> bool:
        """Take over from dead processes, in this thread; return whether all was done within ``seconds``.

        Rows of the host that do not exist yet are left to its own processes.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        deadline = time.monotonic() + seconds
        with suppressed():
            with transaction(self._database.engine):
                pass  # unlike the thread, an operator does not wait for the database, but gets the error
            try:
                while time.monotonic() < deadline and not self._has_recovered(deadline):
                    time.sleep(0.05)
            finally:
                self._takeovers.stop()
                self._database.close()
        return self._has_taken_over() and not self._takeovers.has_left_some

    def after_fork(self) -> None:
        """Start anew in a forked child, which has neither the threads nor the connections of its parent."""
        self._database.after_fork()
        self._reset()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopping:
                saver = threading.Thread(target=self._run_saver, name="telemetry-saver", daemon=True)
                thread = threading.Thread(target=self._run, name="telemetry-writer", daemon=True)
                with (
                    suppressed()
                ):  # else the threads would inherit and keep the run in which they are started
                    saver.start()
                    self._saver = saver
                    thread.start()
                self._thread = thread

    def _stop(self, deadline: float) -> None:
        with self._lock:
            self._stopping, threads = True, (self._saver, self._thread)
        if self._daily is not None:
            self._daily.stop()
        self.nudge()
        for thread in threads:
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))

    def _run(self) -> None:
        with suppressed():
            while not self._stopping:
                self._try_tick()
                with suppress(Empty):
                    self._wakeups.get(timeout=self._pause())

    def _run_saver(self) -> None:
        """Save checkpoints when they are due, independently of the database."""
        with suppressed():
            while not self._stopping:
                pause: float | None = FIRST_RETRY_SECONDS
                with guarded("writer"):
                    pause = self._save_due()
                with suppress(Empty):
                    self._saves.get(timeout=pause)

    def _save_due(self) -> float | None:
        """Save what is due, have it delivered, and return the seconds until more is due; None if unknown."""
        if snapshots := self._fragments.due():
            self._save(snapshots)
            if self._wakeups.empty():
                self._wakeups.put(None)
        due = self._fragments.next_due()
        return None if due is None else max(due - time.monotonic(), 0.005)

    def _save(self, snapshots: list[Snapshot]) -> None:
        for snapshot in snapshots:
            with guarded("spool"):
                self._spool.put(snapshot)

    def _try_tick(self) -> None:
        with guarded("writer"):
            self._tick()
            return
        self._database.outage.wait()  # whatever the error was, do not try again at once

    def _tick(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._settings.heartbeat_seconds
            self._save(self._fragments.alive())
            self._takeovers.plan()
        if self._must_take_over and not self._fragments.has_open_runs:
            self._must_take_over = False
            self._takeovers.restart()
        if now >= self._database.next_turn():
            with self._burst() as is_over:
                self._delivery.deliver_due(is_over)
                self._rows.look_again()
                self._rows.project_due(is_over)
                self._takeovers.go_on(is_over)
        if now < self._database.outage.due:
            self._spool.unload()
        if self._daily is not None:
            self._daily.look(is_busy=self._fragments.has_open_runs or self._spool.count_due() > 0)

    def _pause(self) -> float | None:
        """Return the seconds until something is due; None to wait until this thread is woken."""
        due = [*self._rows.next_times(), *self._delivery.next_times()]
        if (
            not self._takeovers.is_done or self._rows.has_host_committed
        ):  # also in the pause between transactions
            due.append(self._database.outage.due)
        if self._fragments.has_open_runs or self._has_children:
            due.append(self._heartbeat_at)
        if self._daily is not None:
            due.append(time.monotonic() + self._daily.pause())
        if not due:
            return None
        return max(max(min(due), self._database.rests_until) - time.monotonic(), 0.005)

    def _burst(self, deadline: float | None = None) -> AbstractContextManager[Callable[[], bool]]:
        # A takeover that was rolled back is not done, so lagging rows and dead processes are searched again.
        return self._database.burst(deadline, undone=self._takeovers.restart)

    def _has_recovered(self, deadline: float) -> bool:
        if time.monotonic() >= self._database.outage.due:
            with self._burst(deadline) as is_over:
                self._takeovers.go_on(is_over)
                self._rows.project_due(is_over)
        return self._has_taken_over()

    def _has_taken_over(self) -> bool:
        return self._takeovers.is_done and not self._rows.has_pressing()
