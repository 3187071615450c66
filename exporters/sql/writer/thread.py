"""The threads that save checkpoints and deliver snapshots: one of each a process, started by its first run.

They sleep until something is due and, while no run is open and nothing waits, until they are woken. The
database may be away for as long as it likes: snapshots stay in the spool, and the host never waits.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError, SQLAlchemyError, StatementError

from exporters.metrics.instruments import Metrics
from exporters.recording.recorder import RunRecorder
from exporters.rollup.snapshot import NewerSnapshot, Snapshot
from exporters.spool.directory import Spool, Waiting
from exporters.spool.entry import Item
from exporters.spool.takeover import Recovered
from exporters.spool.warning_event import WarningEvent
from exporters.sql.database.engine import (
    CONNECT_SECONDS,
    DELIVERY,
    PERMANENT,
    Batch,
    Limits,
    batch,
    create_engine,
    once_committed,
    transaction,
)
from exporters.sql.database.fitting import UNFIT
from exporters.sql.host.columns import PAGE, Writable
from exporters.sql.host.needs import Use
from exporters.sql.projection import analyses as projection
from exporters.sql.projection import behind, users
from exporters.sql.projection.host_tables import Projection
from exporters.sql.storage import interruptions
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage import warnings as warning_storage
from exporters.sql.storage.intake import claim_intake
from telemetry import conventions as c
from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded, report
from telemetry._internal.secrets import driver_error
from telemetry.settings import Settings

from . import tenancy

if TYPE_CHECKING:
    from .chores import DailyCheck, IntegrityWatch

FIRST_RETRY_SECONDS: Final = 0.2
LAST_RETRY_SECONDS: Final = 60.0
LAST_PROJECTION_SECONDS: Final = 3600.0
LOG_INTERVAL_SECONDS: Final = 60.0
BURST_SECONDS: Final = 0.1
"""On SQLite, after which a transaction takes nothing more in: meanwhile nobody else writes."""
REST_SECONDS: Final = 1.0
"""On SQLite, from one transaction to the next of this process, at least."""
REST_FACTOR: Final = 10
"""How many times as long as a transaction took the rest is, at least, but for the longest one."""
LONGEST_REST_SECONDS: Final = 5.0
MOST_IN_A_ROW: Final = 3
"""Failures of one item after another of which each is taken for the item's; then it is the database's."""
_TROUBLE: Final = (SQLAlchemyError, OSError, *UNFIT)

_log = logging.getLogger("telemetry")


@dataclass(slots=True)
class _Retry:
    """When to try something again: doubling pauses with jitter."""

    pause: float = FIRST_RETRY_SECONDS
    due: float = 0.0
    is_pressing: bool = True
    """Whether it may succeed at once; not where something has to be there first."""

    def wait(self, longest: float = LAST_RETRY_SECONDS) -> None:
        self.due = time.monotonic() + self.pause * random.uniform(0.5, 1.0)
        self.pause = min(self.pause * 2, longest)


class Writer:
    """Moves what the recorder has to the spool, and what the spool has to the database."""

    def __init__(
        self,
        settings: Settings,
        recorder: RunRecorder,
        spool: Spool,
        metrics: Metrics,
        integrity: IntegrityWatch | None = None,
        daily_check: Callable[[Callable[[], None]], DailyCheck] | None = None,
    ) -> None:
        """Prepare; nothing runs before :meth:`wake`.

        Args:
            settings: of the process.
            recorder: has the states of runs.
            spool: keeps them until the database has them.
            metrics: counts what is done.
            integrity: is given its turn between deliveries.
            daily_check: makes what is, of what nudges this thread; again after a fork.

        Raises:
            ValueError: when TELEMETRY_DATABASE_URL cannot be used.
            ImportError: when the driver it names is not installed.
        """
        self._settings = settings
        self._engine = self._new_engine()
        self._recorder = recorder
        self._spool = spool
        self._metrics = metrics
        self._key = settings.hmac_key.encode()
        self._integrity, self._new_daily_check = integrity, daily_check
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        """Takes no lock that the garbage collector could find taken, as an Event would."""
        self._saves: SimpleQueue[None] = SimpleQueue()
        """The same for the thread that saves: it never waits for the database."""
        self._thread: threading.Thread | None = None
        self._saver: threading.Thread | None = None
        self._stopping = False
        self._deadline: float | None = None
        self._writable: Writable | None = None
        self._has_said = False
        self._outage = _Retry()
        self._rests_until = 0.0
        self._in_a_row = 0
        """Items that failed since one was stored."""
        self._postponed: dict[str, _Retry] = {}
        """Fragments that stand in nobody's way: of runs that a newer version of this code has touched, which
        will deliver them, and what the database does not take just now."""
        self._projections: dict[int, _Retry] = {}
        self._users: dict[int, _Retry] = {}
        self._recovered = False
        self._takeovers: Iterator[None] | None = None
        """The round through the directories of dead processes that is under way."""
        self._left_behind = False
        """Whether a dead process's directory could not be settled; it is tried again with the heartbeat."""
        self._has_children = self._must_look = False
        """Whether children were forked inside a run, and whether to look for their ends once it is over."""
        self._has_host_committed = False
        self._daily = None if self._new_daily_check is None else self._new_daily_check(self.nudge)
        self._heartbeat_at = time.monotonic() + self._settings.heartbeat_seconds
        self._logged_at = -LOG_INTERVAL_SECONDS

    def wake(self) -> None:
        """Say that there may be something to do; starts the thread the first time."""
        if self._thread is None:
            self._start()
        self.nudge()

    def nudge(self) -> None:
        """Say so to the thread, if there is one: takes no lock, and may come from a garbage collection."""
        for queue in (self._saves, self._wakeups):
            if queue.empty():
                queue.put(None)

    def host_committed(self) -> None:
        """Say that the host committed something: a row that was missing or busy may be there now."""
        if self._projections or self._users:
            self._has_host_committed = True
            self.nudge()

    def has_forked(self) -> None:
        """Note that a child was forked inside an open run: it may die with what it added to that run."""
        self._has_children = self._must_look = True

    def save(self) -> None:
        """Put all that changed into the spool, here and now."""
        self._save(self._recorder.changed())

    def drain(self, seconds: float) -> bool:
        """Stop the thread and deliver what is left, for at most ``seconds``; what remains stays in the spool.

        Returns:
            Whether everything was delivered.
        """
        self._deadline = deadline = time.monotonic() + seconds
        self._stop(deadline)
        with guarded("writer"), suppressed():
            self.save()
            if self._has_children:
                self._recovered, self._takeovers = False, None
                self._recover(partial(_is_past, deadline))
            while time.monotonic() < deadline and self._due():
                with self._burst(deadline) as is_over:
                    self._deliver_due(is_over)
                if self._outage.due > time.monotonic():
                    time.sleep(max(min(0.05, deadline - time.monotonic()), 0))
            with self._burst(deadline):
                self._look_again()
                self._project_due(partial(_is_past, deadline))
        self._takeovers = None
        self._engine.dispose()
        return not self._spool.count_due()

    def recover(self, seconds: float) -> bool:
        """Deliver what dead processes left, here and now; return whether all was done within ``seconds``.

        Rows of the host's that are not there yet are left to its own processes.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        deadline = time.monotonic() + seconds
        with suppressed():
            with transaction(self._engine):
                pass  # what the writer would wait for, an operator is told
            try:
                while time.monotonic() < deadline and not self._has_recovered(deadline):
                    time.sleep(0.05)
            finally:
                self._takeovers = None  # it unlocks the directory that it was in
                self._engine.dispose()
        return self._recovered and not self._left_behind and not self._has_pressing_rows()

    def after_fork(self) -> None:
        """Start anew in a forked child: its parent's thread and connections are not there."""
        self._engine.dispose(close=False)
        if self._integrity is not None:
            self._integrity.after_fork()
        self._reset()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopping:
                saver = threading.Thread(target=self._run_saver, name="telemetry-saver", daemon=True)
                thread = threading.Thread(target=self._run, name="telemetry-writer", daemon=True)
                with suppressed():  # else the threads would inherit, and keep, the run that started them
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
                self._sleep(self._pause())

    def _run_saver(self) -> None:
        """Save checkpoints when they are due, however long the database takes meanwhile."""
        with suppressed():
            while not self._stopping:
                pause: float | None = FIRST_RETRY_SECONDS
                with guarded("writer"):
                    pause = self._save_due()
                with suppress(Empty):
                    self._saves.get(timeout=pause)

    def _save_due(self) -> float | None:
        """Save what is due, have it delivered, and return for how many seconds nothing is."""
        if snapshots := self._recorder.due():
            self._save(snapshots)
            if self._wakeups.empty():
                self._wakeups.put(None)
        due = self._recorder.next_due()
        return None if due is None else max(due - time.monotonic(), 0.005)

    def _sleep(self, seconds: float | None) -> None:
        with suppress(Empty):
            self._wakeups.get(timeout=seconds)

    def _try_tick(self) -> None:
        with guarded("writer"):
            self._tick()
            return
        self._outage.wait()  # whatever it was, it is not tried again at once

    def _tick(self) -> None:
        now = time.monotonic()
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + self._settings.heartbeat_seconds
            self._save(self._recorder.alive())
            self._recovered = False
        if self._must_look and not self._recorder.has_open_runs:
            self._must_look = self._recovered = False
            self._takeovers = None
        if now >= self._next_turn():
            with self._burst() as is_over:
                self._deliver_due(is_over)
                self._look_again()
                self._project_due(is_over)
                self._recover(is_over)
            if self._integrity is not None:
                self._integrity.look()
        if now < self._outage.due:
            self._spool.unload()
        if self._daily is not None:
            self._daily.look(is_busy=self._recorder.has_open_runs or self._spool.count_due() > 0)

    def _next_turn(self) -> float:
        """Return when the database may be written to, by the monotonic clock."""
        return max(self._outage.due, self._rests_until)

    @contextmanager
    def _burst(self, deadline: float | None = None) -> Iterator[Callable[[], bool]]:
        """Write to SQLite in one short transaction, then rest: the host waits for each that we make.

        Yields:
            What says whether to begin nothing more; never on PostgreSQL before the ``deadline``.
        """
        if self._engine.dialect.name != "sqlite":
            yield partial(_is_past, deadline)
            return
        whole: Batch | None = None
        try:
            with batch(self._engine) as whole:
                yield partial(_is_over, whole, deadline)
        except BaseException as error:
            # What lags is looked for again, and the dead: what was noted of them is not so.
            self._recovered, self._takeovers = False, None
            if not isinstance(error, SQLAlchemyError):
                raise
            self._failed("rollup", error)
            self._outage.wait()
        finally:
            if whole is not None and whole.has_begun:
                rest = min(max(REST_SECONDS, REST_FACTOR * whole.seconds()), LONGEST_REST_SECONDS)
                self._rests_until = time.monotonic() + rest

    def _pause(self) -> float | None:
        """Return for how many seconds nothing is due; None for as long as nobody wakes us."""
        due = [
            max(retry.due, self._outage.due) for retry in (*self._projections.values(), *self._users.values())
        ]
        due += self._deliveries()
        if not self._recovered or self._has_host_committed:  # also what was committed during a rest
            due.append(self._outage.due)
        if self._recorder.has_open_runs or self._has_children:
            due.append(self._heartbeat_at)
        if self._daily is not None:
            due.append(time.monotonic() + self._daily.pause())
        return max(max(min(due), self._rests_until) - time.monotonic(), 0.005) if due else None

    def _deliveries(self) -> list[float]:
        """Return when to deliver next: most wait for the database alone, and need not be looked at."""
        postponed = self._spool.due_among(self._postponed)
        at = [max(self._postponed[each].due, self._outage.due) for each in postponed]
        return [*at, self._outage.due] if self._spool.count_due() > len(postponed) else at

    def _due(self) -> list[Waiting]:
        """Return what waits and is not postponed."""
        now = time.monotonic()
        return [each for each in self._spool.due() if self._postponed_until(each) <= now]

    def _postponed_until(self, waiting: Waiting) -> float:
        retry = self._postponed.get(waiting.fragment_id)
        return retry.due if retry else 0.0

    def _save(self, snapshots: list[Snapshot]) -> None:
        for snapshot in snapshots:
            with guarded("spool"):
                self._spool.put(snapshot)

    def _deliver_due(self, is_over: Callable[[], bool]) -> bool:
        """Deliver what waits; return False when the database is away."""
        for waiting in self._due():
            if is_over():
                return False
            item = self._spool.newest(waiting)
            if item is not None and not self._deliver(item, self._spool.delivered, self._spool.park):
                return False
        return True

    def _deliver(
        self, item: Item, delivered: Callable[[Item], None], park: Callable[[Item, str], None]
    ) -> bool:
        try:
            if isinstance(item, Snapshot):
                self._store(item)
            else:
                self._store_warning(item)
        except NewerSnapshot as error:
            self._failed("rollup", error)
            self._postpone(item)
            return True
        except _TROUBLE as error:
            self._failed("rollup", error)
            return self._settle(item, error, park)
        self._outage, self._in_a_row = _Retry(), 0
        self._postponed.pop(item.fragment_id, None)
        once_committed(self._engine, partial(delivered, item))
        return True

    def _settle(self, item: Item, error: Exception, park: Callable[[Item, str], None]) -> bool:
        """Decide what becomes of an item that was not stored; return False when the database is away."""
        if _is_for_good(error):
            with guarded("spool"):
                park(item, type(error).__name__)
                self._note_what_is_missing(item)
                return True
            self._postpone(item)  # where the disk refuses, too
            return True
        self._disconnect()
        self._in_a_row += 1
        if _is_outage(error) or self._in_a_row >= MOST_IN_A_ROW:
            self._outage.wait()
            return False
        self._postpone(item)
        return True

    def _note_what_is_missing(self, item: Item) -> None:
        """Let a run not claim to be complete while a part of it is set aside.

        Without the part that began it, it has no end, and claims nothing.
        """
        if isinstance(item, Snapshot) and not item.is_root:
            with suppress(NewerSnapshot, *_TROUBLE):
                self._store(item.stand_in())

    def _postpone(self, item: Item) -> None:
        self._postponed.setdefault(item.fragment_id, _Retry()).wait()

    def _store(self, snapshot: Snapshot) -> None:
        with _Timer(self._metrics, "rollup"):
            result = run_storage.deliver(self._engine, snapshot, self._metrics.totals)
            claimed = self._claim(snapshot)
        self._plan(result, bool(claimed))

    def _store_warning(self, event: WarningEvent) -> None:
        with _Timer(self._metrics, "warning"):
            most, totals = self._settings.warnings_per_day, self._metrics.totals
            warning_storage.deliver(self._engine, event, most, totals)

    def _claim(self, snapshot: Snapshot) -> list[str]:
        """Charge intake to its analysis, where this snapshot may be the one that brings them together."""
        is_turn = snapshot.seq == 1 or snapshot.is_closed or snapshot.interrupted
        return claim_intake(self._engine, snapshot.run_id) if snapshot.subject and is_turn else []

    def _plan(self, result: run_storage.Delivered, has_claimed: bool) -> None:
        """Note which of the host's rows now lag behind."""
        if result.status != c.RUNNING or result.is_shown or has_claimed:
            if result.analysis_id is not None:
                self._projections[result.analysis_id] = _Retry()
            if has_claimed:
                self._plan_lagging()
            if result.user_id is not None:
                self._users[result.user_id] = _Retry()

    def _plan_lagging(self) -> None:
        for analysis_id in behind.lagging_analyses(self._engine):
            self._projections.setdefault(analysis_id, _Retry())
        for user_id in behind.lagging_users(self._engine):
            self._users.setdefault(user_id, _Retry())

    def _look_again(self) -> None:
        """After a commit of the host's: what may have waited for just that is due now."""
        if not self._has_host_committed:
            return
        self._has_host_committed = False
        now = time.monotonic()
        for retry in self._users.values():
            retry.due = min(retry.due, now)
        if not self._projections:
            return
        try:
            for analysis_id in behind.lagging_analyses(self._engine):
                retry = self._projections.setdefault(analysis_id, _Retry())
                retry.due = min(retry.due, now)
        except SQLAlchemyError as error:
            self._failed("projection", error)
            self._outage.wait()

    def _project_due(self, is_over: Callable[[], bool]) -> None:
        now = time.monotonic()
        for analysis_id, retry in list(self._projections.items()):
            if retry.due <= now and not is_over():
                self._attempt("projection", self._projections, analysis_id)
        for user_id, retry in list(self._users.items()):
            if retry.due <= now and not is_over():
                self._attempt("user", self._users, user_id)

    def _attempt(self, transaction: str, waiting: dict[int, _Retry], row_id: int) -> None:
        try:
            with _Timer(self._metrics, transaction):
                outcome = self._project(row_id) if transaction == "projection" else self._refresh(row_id)
        except SQLAlchemyError as error:
            self._failed(transaction, error)
            self._writable = None
            if not isinstance(error, OperationalError):
                self._disconnect()
            outcome = Projection.BUSY
        except (OSError, *UNFIT) as error:  # of this row alone
            self._failed(transaction, error)
            outcome = Projection.MISSING
        is_busy = outcome is Projection.BUSY
        longest = LAST_RETRY_SECONDS if is_busy else LAST_PROJECTION_SECONDS
        if outcome is Projection.DONE or (not is_busy and waiting[row_id].pause >= longest):
            waiting.pop(row_id, None)  # a row that never comes is left to the daily check
        else:
            waiting[row_id].is_pressing = is_busy
            waiting[row_id].wait(longest)

    def _project(self, analysis_id: int) -> Projection:
        engine = self._engine
        return projection.project(engine, analysis_id, self._columns(engine), self._key, self._metrics.totals)

    def _refresh(self, user_id: int) -> Projection:
        engine = self._engine
        return users.refresh_user(engine, user_id, self._columns(engine), self._metrics.totals)

    def _columns(self, engine: Engine) -> Writable:
        if self._writable is None:
            self._writable = Writable.load(engine)
            self._say_what_is_left_out(self._writable)
        return self._writable

    def _say_what_is_left_out(self, writable: Writable) -> None:
        """Say once a process which columns of the application's are not there, and what is lost with them."""
        left_out = writable.left_out(Use.PROJECTION)
        if left_out and not self._has_said:
            _log.warning("telemetry does without %s; see %s", "; ".join(left_out), PAGE)
        self._has_said = True

    def _recover(self, is_over: Callable[[], bool]) -> None:
        """Deliver what dead processes left, once at the start and then with the heartbeat.

        What is not done when the time is over is gone on with the next time.
        """
        if self._recovered:
            return
        if self._takeovers is None:
            self._left_behind = False
            self._takeovers = self._take_all_over()
        try:
            for _ in self._takeovers:
                if is_over():
                    return
        except OSError as error:  # the next heartbeat tries again: what is ours goes on meanwhile
            report("spool", error)
            self._recovered = self._left_behind = True
        self._takeovers = None

    def _take_all_over(self) -> Iterator[None]:
        """Deliver what is in every dead process's directory; end early when the database is away."""
        self._spool.measure()
        for dead in self._spool.recover():
            try:
                yield from self._take_over(dead)
            except OSError as error:
                report("spool", error)
                self._left_behind = True
            if self._outage.due > time.monotonic():
                return
        try:
            self._plan_lagging()
        except SQLAlchemyError as error:
            self._failed("projection", error)
            self._outage.wait()
            return
        self._recovered = True

    def _has_recovered(self, deadline: float) -> bool:
        if time.monotonic() >= self._outage.due:
            with self._burst(deadline) as is_over:
                self._recover(is_over)
                self._project_due(is_over)
        return self._recovered and not self._has_pressing_rows()

    def _has_pressing_rows(self) -> bool:
        return any(retry.is_pressing for retry in (*self._projections.values(), *self._users.values()))

    def _take_over(self, dead: Recovered) -> Iterator[None]:
        """Deliver what a dead process left, and yield before each item.

        It ends early when the database is away.
        """

        def park(item: Item, reason: str) -> None:
            self._spool.park(item, reason)
            dead.delivered(item)

        try:
            for item in self._left_by(dead):
                yield
                if not self._deliver(item, dead.delivered, park):
                    return
                if isinstance(item, Snapshot) and item.interrupted:
                    self._metrics.of(item).unaccounted("unclosed")
            for result in interruptions.interrupt_process(
                self._engine, dead.process_id, self._metrics.totals
            ):
                self._plan(result, has_claimed=False)
        except (NewerSnapshot, SQLAlchemyError, *UNFIT) as error:
            self._failed("rollup", error)
            if _is_outage(error):
                self._outage.wait()
            else:
                self._left_behind = True
            return
        once_committed(self._engine, dead.finish)

    def _is_ours(self, user: str) -> bool:
        """Say whether what a process of ``user`` left goes into our tables."""
        return not tenancy.is_told_apart(self._engine, self._settings.spool_user(), user)

    def _left_by(self, dead: Recovered) -> Iterator[Item]:
        """Yield what a dead process left for our tables; an earlier version did not say for which it is."""
        for item in dead.items(cache(self._is_ours)):
            engine, may_be_anothers = self._engine, dead.is_ambiguous
            if dead.is_old and not tenancy.is_for_these(engine, item, may_be_anothers=may_be_anothers):
                dead.leave(item)
                self._left_behind = True
            else:
                yield item

    def _new_engine(self) -> Engine:
        """Return the engine of this process: one for good, since the collector calls Python to forget one."""
        return create_engine(self._settings.database_url, self._patience, limits=self._limits)

    def _disconnect(self) -> None:
        """Leave connections that may be the reason of a failure: one made to a standby reads for ever."""
        pool = self._engine.pool
        if isinstance(pool, sa.QueuePool) and pool.checkedin():
            self._engine.dispose()

    def _limits(self) -> Limits:
        """Return how long a transaction may take: at the end of the process, no longer than there is time."""
        if self._deadline is None:
            return DELIVERY
        left = max(self._deadline - time.monotonic(), 0.001)
        return Limits(*(min(limit, left) for limit in DELIVERY))

    def _patience(self) -> float:
        """Return for how many seconds a connection may be waited for: at the end, no longer than there is."""
        if self._deadline is None:
            return CONNECT_SECONDS
        return min(CONNECT_SECONDS, self._deadline - time.monotonic())

    def _failed(self, transaction: str, error: Exception) -> None:
        self._metrics.totals.add(c.WRITER_FAILURES, 1, transaction=transaction)
        now = time.monotonic()
        if now - self._logged_at >= LOG_INTERVAL_SECONDS:
            self._logged_at = now
            _log.warning(
                "telemetry cannot write to its database (%s); rollups wait in %s, the application goes on",
                driver_error(error),
                self._spool.root,
            )


class _Timer:
    """Measures one transaction."""

    def __init__(self, metrics: Metrics, transaction: str) -> None:
        self._metrics = metrics
        self._transaction = transaction

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        elapsed = time.perf_counter() - self._started
        self._metrics.observe(c.WRITER_DURATION, elapsed, transaction=self._transaction)


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _is_over(whole: Batch, deadline: float | None) -> bool:
    """Say whether a transaction on SQLite is to take nothing more in."""
    return whole.seconds() >= BURST_SECONDS or _is_past(deadline)


def _is_for_good(error: Exception) -> bool:
    """Say whether an item would meet this error again and again: a value does not fit."""
    is_of_binding = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    return is_of_binding or isinstance(error, (*PERMANENT, *UNFIT))


def _is_outage(error: Exception) -> bool:
    """Say whether the database is away, or busy, for everybody."""
    away = (OperationalError, DisconnectionError, sa.exc.TimeoutError, OSError)
    return isinstance(error, away) or getattr(error, "connection_invalidated", False)
