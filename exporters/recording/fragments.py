"""The fragments of this process, and when their snapshots are to be saved.

The state of a run is an attribute of its handle; there is no table of runs. Checkpoints find open runs
through weak references, and the few fragments without a handle (late calls, orphans) are kept until they are
saved.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.context import Context

from exporters.metrics.instruments import Metrics
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.merge import merge
from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import Entry
from telemetry import conventions as c
from telemetry._internal.run import Run
from telemetry.settings import Settings

from .deferral import Deferral
from .dropped import Dropped
from .facts import facts_of, late_facts_of, orphan_facts_of
from .pace import Pace

Save = Callable[[Entry], None]
"""Puts one snapshot or warning event into the spool, by replacing one file of limited size."""


@dataclass(slots=True)
class Record:
    """The state of a run in this process, which is an attribute of its handle."""

    accumulator: Accumulator
    started_ns: int
    """Monotonic time."""
    pace: Pace
    """When its next checkpoint is due."""
    late: Accumulator | None = None
    is_inherited: bool = False
    """Whether the run was opened by the process from which this one was forked."""
    final: Snapshot | None = None
    """The final snapshot, once the run has ended."""


class Fragments:
    """The fragments of this process."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        process_id: str,
        save: Save,
        wake: Callable[[], None],
        nudge: Callable[[], None],
    ) -> None:
        """Start without fragments.

        Args:
            settings: for the late window and the pace of checkpoints.
            metrics: for runs whose handle was dropped.
            process_id: the id of this process, which its fragments record.
            save: called with a snapshot that cannot wait for its checkpoint.
            wake: called after a change that the writer should save before long.
            nudge: called, perhaps during a garbage collection, when work was deferred.
        """
        self._settings = settings
        self._metrics = metrics
        self._save = save
        self._wake = wake
        self._nudge = nudge
        self.deferral = Deferral(nudge)
        """Work that arrived during a garbage collection."""
        self._reset(process_id)

    def _reset(self, process_id: str) -> None:
        self._process_id = process_id
        self._lock = threading.Lock()
        self.deferral.clear()
        self._open: dict[Accumulator, weakref.ref[Run]] = {}
        self._dropped: Dropped[Run, Accumulator] = Dropped()
        """Fragments whose handle was dropped before the end of the run, at an exit or by mistake."""
        self._loose: set[Accumulator] = set()
        self._loose_pace = self._pace()
        self._orphans: dict[str, Accumulator] = {}

    def open(self, run: Run) -> Accumulator:
        """Open the fragment of ``run`` and return it."""
        accumulator = Accumulator(facts_of(run, self._process_id))
        run.record = Record(accumulator, time.monotonic_ns(), self._pace())
        with self._lock:
            self._open[accumulator] = self._dropped.follow(run, accumulator)
        return accumulator

    def forget(self, accumulator: Accumulator) -> bool:
        """Forget a fragment that has closed; return whether it was registered as open until now."""
        with self._lock:
            return self._open.pop(accumulator, None) is not None

    def accumulator_for(self, run: Run, started_ns: int) -> Accumulator | None:
        """Return the accumulator for a span of ``run`` that started at ``started_ns``.

        None if the run ended too long before that.
        """
        record = run.record
        if not isinstance(record, Record):
            return None
        if not record.accumulator.is_closed:
            return record.accumulator
        ended = record.accumulator.facts.closed_at or 0
        is_recent = started_ns - ended <= self._settings.late_seconds * 1e9
        return self.late(run) if is_recent or record.is_inherited else None

    def late(self, run: Run) -> Accumulator:
        """Return the late fragment of ``run``; call :meth:`save_soon` after adding to it."""
        record = record_of(run)
        if record is None:
            raise LookupError("a run that was not opened in this process")
        with self._lock:
            if record.late is None:
                record.late = Accumulator(late_facts_of(run, self._process_id))
            return record.late

    def late_or_orphan(self, run: Run | None, started_ns: int) -> Accumulator:
        """Return the accumulator for a call whose own fragment has closed, or which belongs to no run."""
        return self.orphan(started_ns) if run is None else self.late(run)

    def orphan(self, started_ns: int) -> Accumulator:
        """Return the fragment of the day's orphan run; call :meth:`save_soon` after adding to it."""
        day = datetime.fromtimestamp(started_ns / 1e9, UTC).strftime("%Y-%m-%d")
        with self._lock:
            if day not in self._orphans:
                self._orphans = {day: Accumulator(orphan_facts_of(day, self._process_id))}
            return self._orphans[day]

    def save_soon(self, accumulator: Accumulator) -> None:
        """Have a changed fragment saved: at once if it is urgent, else at its next checkpoint."""
        if accumulator.is_loose:
            with self._lock:
                self._loose.add(accumulator)
            self._wake()
        elif accumulator.is_urgent:
            self._nudge()

    def announce(self, accumulator: Accumulator) -> None:
        """Save a fragment without a handle before a call in it is made.

        If the process dies during the call, nothing else shows that it has spent anything.
        """
        self._save(accumulator.snapshot(time.time_ns()))
        self._wake()

    def changed(self) -> list[Snapshot]:
        """Return snapshots of all fragments that have changed since they were last saved."""
        self.deferral.catch_up()
        now = time.time_ns()
        loose = [accumulator.snapshot(now) for accumulator in self._take_loose() if accumulator.has_changed]
        records = [record for record in self._open_records() if record.accumulator.has_changed]
        return loose + [record.accumulator.snapshot(now) for record in records] + self._take_dropped()

    def due(self) -> list[Snapshot]:
        """Return snapshots of the fragments that have changed and are due, or urgent."""
        now, now_ns = time.monotonic(), time.time_ns()
        snapshots = []
        self.deferral.catch_up_later(now)
        if self._loose and now >= self._loose_pace.due:
            self._loose_pace.saved(now)
            snapshots = [loose.snapshot(now_ns) for loose in self._take_loose() if loose.has_changed]
        for record in self._open_records():
            is_due = now >= record.pace.due
            if is_due:
                record.pace.saved(now)
            if record.accumulator.is_urgent or (is_due and record.accumulator.has_changed):
                snapshots.append(record.accumulator.snapshot(now_ns))
        return snapshots + self._take_dropped()

    def next_due(self) -> float | None:
        """Return the monotonic time at which :meth:`due` may return something; None if none is known."""
        times = [self._loose_pace.due] if self._loose else []
        times += [] if self.deferral.due is None else [self.deferral.due]
        times += [time.monotonic()] if self._dropped else []
        return min(times + [record.pace.due for record in self._open_records()], default=None)

    def alive(self) -> list[Snapshot]:
        """Return snapshots of all open fragments, as a heartbeat."""
        now = time.time_ns()
        return [record.accumulator.snapshot(now) for record in self._open_records()]

    @property
    def has_open_runs(self) -> bool:
        """Whether any run of this process is open."""
        return bool(self.open_runs())

    def open_runs(self) -> list[Run]:
        """Return the runs of this process that are open."""
        with self._lock:
            references = list(self._open.values())
        return [run for reference in references if (run := reference()) is not None]

    def after_fork(self, process_id: str) -> None:
        """Start anew in a forked child, which adds to runs of its parent in late fragments.

        Args:
            process_id: the id of the child.
        """
        opened = [run for reference in list(self._open.values()) if (run := reference()) is not None]
        inherited = [(run, record) for run in opened if (record := record_of(run)) is not None]
        now = time.time_ns()
        for orphan in self._orphans.values():
            orphan.close(now)  # it belongs to the parent; calls that end here go to a new one
        self._reset(process_id)
        for run, record in inherited:
            parents = Accumulator(record.accumulator.facts)
            parents.close(now)
            run.record = Record(parents, record.started_ns, record.pace, is_inherited=True)

    def _take_dropped(self) -> list[Snapshot]:
        taken = []
        for accumulator in self._dropped.take():
            with self._lock:
                self._open.pop(accumulator, None)
            if accumulator.is_closed:  # a finalizer has ended the run meanwhile
                continue
            final = _interrupted(accumulator)
            metrics = self._metrics.of(final)
            metrics.active(final.kind, -1)
            if final.is_root:
                metrics.run_ended(merge([final]), Context())
            taken.append(final)
        return taken

    def _pace(self) -> Pace:
        return Pace(self._settings.checkpoint_seconds, time.monotonic())

    def _take_loose(self) -> set[Accumulator]:
        with self._lock:
            loose, self._loose = self._loose, set()
        return loose

    def _open_records(self) -> list[Record]:
        records = [record_of(run) for run in self.open_runs()]
        return [record for record in records if record is not None and not record.accumulator.is_closed]


def record_of(run: Run) -> Record | None:
    """Return the record of ``run``; None if the run was not opened in this process."""
    return run.record if isinstance(run.record, Record) else None


def _interrupted(accumulator: Accumulator) -> Snapshot:
    opened, status = accumulator.facts.opened_at, accumulator.facts.status
    now = max(time.time_ns(), opened + 1)
    status = c.INTERRUPTED if status == c.RUNNING else status
    return accumulator.close(now, status=status, ends_run=True, duration_us=(now - opened) // 1000)
