"""Keeps the fragments of this process: opens them, closes them, and hands their snapshots on.

The state of a run hangs on its handle; there is no table of runs. A weak set of open handles serves the
checkpoints, and the few fragments without a handle (late calls, orphans) are held until they are saved.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context

from exporters.metrics.instruments import Metrics, exemplar
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.limits import exceeded
from exporters.rollup.merge import merge
from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import Item
from exporters.spool.warning_event import WarningEvent, subject_of
from telemetry import conventions as c
from telemetry._internal.context import Document, OpenStage, Run, Warned
from telemetry._internal.process.streams import settle
from telemetry.api import arguments
from telemetry.openai.call import OpenAICall
from telemetry.settings import Settings

from .deferral import Deferred, deferrable
from .dropped import Dropped
from .pace import Pace


class CallCounter(Protocol):
    """Adds calls to the fragments of a recorder."""

    def call_started(self, call: OpenAICall) -> None:
        """Note that a call is under way."""

    def call_ended(self, call: OpenAICall) -> None:
        """Add a call that has ended."""


Save = Callable[[Item], None]
"""Puts one snapshot or event into the spool: one bounded file replacement."""

ORPHANS: Final = uuid.UUID("6f1d0d2e-4d4f-4a55-8a57-6b1f6f7c9a10")
"""Namespace of the ids of the daily orphan runs."""


DEFERRED_SECONDS: Final = 0.5
"""After how long the writer does what was put off during a collection, if no call of the application did."""


@dataclass(slots=True)
class _Record:
    """What hangs on a handle."""

    accumulator: Accumulator
    started_ns: int
    """Monotonic."""
    pace: Pace
    """When its next checkpoint is due."""
    late: Accumulator | None = None
    is_inherited: bool = False
    """Whether the run belongs to the process this one was forked from."""
    final: Snapshot | None = None
    """Its last state, once that was taken."""


class RunRecorder:
    """The :class:`telemetry._internal.context.Recorder` of this process."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        process_id: str,
        save: Save,
        wake: Callable[[], None],
        nudge: Callable[[], None] = lambda: None,
        *,
        is_key_shared: bool = True,
    ) -> None:
        """Keep runs.

        Args:
            settings: for the late window, the hash key and the declared counters.
            process_id: what the fragments of this process are marked with.
            metrics: told of runs that end.
            save: called with the first and the final snapshot of a run, in the thread of the application.
            wake: called when something changed that the writer should save before long.
            nudge: called, perhaps by the garbage collector, when there is something to catch up with.
            is_key_shared: whether other processes know the hash key, too; else each run brings one of its own
                along to them.
        """
        self._settings = settings
        self.kinds = (*c.RUN_KINDS, *settings.run_kinds)
        self._metrics = metrics
        self._save = save
        self._wake = wake
        self._nudge = nudge
        self.deferred = Deferred(nudge)
        """What the garbage collector told of, and is not done yet."""
        self._key = settings.hmac_key.encode()
        self._is_key_shared = is_key_shared
        self.call_started: Callable[[OpenAICall], None] = _leave_out
        """Note that a call is under way: see :meth:`count_calls`."""
        self.call_ended: Callable[[OpenAICall], None] = _leave_out
        """Add a call that has ended."""
        self._reset(process_id)

    def _reset(self, process_id: str) -> None:
        self._process_id = process_id
        self._lock = threading.Lock()
        self.deferred.acts.clear()
        self._open: dict[Accumulator, weakref.ref[Run]] = {}
        self._dropped: Dropped[Run, Accumulator] = Dropped()
        """Of handles that were dropped without an end: by an exit, or by a mistake of the host's."""
        self._loose: set[Accumulator] = set()
        self._loose_pace = self._pace()
        self._acts_at: float | None = None
        """When to do what was put off during a collection."""
        self._orphans: dict[str, Accumulator] = {}

    @deferrable("recorder")
    def open(self, run: Run) -> None:
        """Begin a fragment and save its first state."""
        if not (self._is_key_shared or run.document_key):
            run.document_key = hmac.new(self._key, run.run_id.encode(), hashlib.sha256).hexdigest()
        accumulator = Accumulator(self._facts(run))
        run.record = _Record(accumulator, time.monotonic_ns(), self._pace())
        with self._lock:
            self._open[accumulator] = self._dropped.follow(run, accumulator)
        self._metrics.of(run).active(run.kind, 1)
        self._save(accumulator.snapshot(time.time_ns()))
        self._wake()

    @deferrable("recorder")
    def close(self, run: Run) -> None:
        """Take the final state, save it, and tell the metrics."""
        record = _record(run)
        if record is None or record.accumulator.is_closed:
            return
        self.deferred.do(partial(self._close, run, record, time.monotonic_ns() - record.started_ns))

    def _close(self, run: Run, record: _Record, elapsed_ns: int) -> None:
        """Do what is to be done at an end. It may be interrupted, and done again."""
        if record.final is None:
            settle()
            self.deferred.work_off()
            self.update(run)
            record.final = record.accumulator.close(
                record.accumulator.facts.opened_at + max(elapsed_ns, 1),  # the clock may be set back
                status=run.status,
                ends_run=run.finishes,
                duration_us=elapsed_ns // 1000,
            )
        self._save(record.final)
        with self._lock:
            if self._open.pop(record.accumulator, None) is None:
                return
        self._metrics.of(run).active(run.kind, -1)
        self._warn_of_limits(record.final, run)
        self._wake()
        self._tell_metrics(record.final, run)

    @deferrable("recorder")
    def update(self, run: Run) -> None:
        """Take over what the handle says by now."""
        record = _record(run)
        if record is None:
            return
        span = run.span.get_span_context()
        facts: dict[str, object] = {
            "status": run.status,
            "analysis_id": run.analysis_id,
            "candidates": run.candidates,
            "criteria": run.criteria,
            "jd_bytes": run.jd[0],
            "jd_characters": run.jd[1],
            "jd_type": run.jd_type,
            "trace_id": trace.format_trace_id(span.trace_id) if span.is_valid else None,
            "trace_sampled": span.trace_flags.sampled,
        }
        if record.accumulator.is_closed:
            self._update_closed(run, record, facts)
        else:
            record.accumulator.update(**facts)
            self.hold(record.accumulator)

    @deferrable("recorder")
    def document(self, run: Run, document: Document) -> None:
        """Add one visit to a document, whose name becomes a keyed hash."""
        if run.kind == "intake":
            document.analysis_ns = None  # naming and filing a document is not analysing it
        key = document_key(run.document_key.encode() or self._key, run.run_id, document.key)
        self._add(run, lambda accumulator: accumulator.document(key, document))

    @deferrable("recorder")
    def count(self, run: Run, name: str, amount: int) -> None:
        """Add to a declared counter, to ``other`` if nobody declared it."""
        declared = arguments.one_of("name", name, self._settings.counters, "TELEMETRY_COUNTERS")
        self._add(run, lambda accumulator: accumulator.count(declared, amount))
        self._metrics.of(run).totals.add(c.EVENTS, amount, name=declared)

    @deferrable("recorder")
    def error(self, run: Run, stage: str | None, error_type: str) -> None:
        """Add one error."""
        self._add(run, lambda accumulator: accumulator.error(stage, error_type))
        self._metrics.of(run).totals.add(c.ERRORS, 1, stage=stage or c.Stage.UNATTRIBUTED, type=error_type)

    @deferrable("recorder")
    def stage_started(self, stage: OpenStage) -> None:
        """Start the clock of a stage in the fragment that is open now."""
        accumulator = self.accumulator_for(stage.run, stage.started_ns)
        if accumulator is not None:
            stage.record = accumulator
            accumulator.stage_started(stage.name, stage.started_ns)

    @deferrable("recorder")
    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Stop the clock of a stage, and measure it."""
        accumulator, stage.record = stage.record, None
        if not isinstance(accumulator, Accumulator):
            return
        accumulator.stage_ended(stage.name, ended_ns)
        self.hold(accumulator)
        seconds = max(ended_ns - stage.started_ns, 0) / 1e9
        self._metrics.of(stage.run).observe(
            c.STAGE_DURATION, seconds, exemplar(span.get_span_context()), stage=stage.name
        )

    @deferrable("recorder")
    def warn(self, warned: Warned) -> None:
        """Keep a warning, or an answer to some."""
        if not warned.is_answer:
            types = self._settings.warning_types
            known = arguments.one_of("warning_type", warned.type, types, "TELEMETRY_WARNING_TYPES")
            warned = replace(warned, type=known)
        self._save(WarningEvent(uuid.uuid4().hex, time.time_ns(), warned))
        self._wake()

    def count_calls(self, counter: CallCounter) -> None:
        """Have calls added up by ``counter``; none is before that."""
        self.call_started, self.call_ended = counter.call_started, counter.call_ended

    def accumulator_for(self, run: Run, started_ns: int) -> Accumulator | None:
        """Return where a span of ``run`` that started at ``started_ns`` counts.

        None when the run ended too long ago.
        """
        record = run.record
        if not isinstance(record, _Record):
            return None
        if not record.accumulator.is_closed:
            return record.accumulator
        ended = record.accumulator.facts.closed_at or 0
        within = started_ns - ended <= self._settings.late_seconds * 1e9
        return self.late(run) if within or record.is_inherited else None

    def late(self, run: Run) -> Accumulator:
        """Return the fragment for what ends after its run did; :meth:`hold` it after adding."""
        record = _record(run)
        if record is None:
            raise LookupError("a run nobody opened")
        with self._lock:
            if record.late is None:
                facts = self._facts(run)
                facts.is_root, facts.fragment_id = False, uuid.uuid4().hex
                facts.closed_at = facts.opened_at
                record.late = Accumulator(facts)
            return record.late

    def after_the_end(self, run: Run | None, started_ns: int) -> Accumulator:
        """Return where a call counts whose own fragment has closed, or which has none."""
        return self.orphan(started_ns) if run is None else self.late(run)

    def orphan(self, started_ns: int) -> Accumulator:
        """Return this process's fragment of the day's orphan run; :meth:`hold` it after adding."""
        day = datetime.fromtimestamp(started_ns / 1e9, UTC).strftime("%Y-%m-%d")
        with self._lock:
            if day not in self._orphans:
                self._orphans = {day: self._orphan_of(day)}
            return self._orphans[day]

    def hold(self, accumulator: Accumulator) -> None:
        """Let what was added to a fragment be saved, soon or at once; keep it if it has no handle."""
        if accumulator.is_loose:
            with self._lock:
                self._loose.add(accumulator)
            self._wake()
        elif accumulator.is_pressing:
            self._nudge()

    def announce(self, accumulator: Accumulator) -> None:
        """Save that a call is under way in a fragment without a handle, before the call is made.

        Its process may die at any time from now on, and nothing else would say that it has spent anything.
        """
        self._save(accumulator.snapshot(time.time_ns()))
        self._wake()

    def changed(self) -> list[Snapshot]:
        """Return snapshots of all fragments that changed since they were last saved."""
        self.deferred.work_off()
        now = time.time_ns()
        loose = [accumulator.snapshot(now) for accumulator in self._take_loose() if accumulator.has_changed]
        records = [record for record in self._open_records() if record.accumulator.has_changed]
        return loose + [record.accumulator.snapshot(now) for record in records] + self._take_dropped()

    def due(self) -> list[Snapshot]:
        """Return snapshots of those of them whose checkpoint is due, or cannot wait."""
        now, now_ns = time.monotonic(), time.time_ns()
        snapshots = []
        self._work_off_later(now)
        if self._loose and now >= self._loose_pace.due:
            self._loose_pace.saved(now)
            snapshots = [each.snapshot(now_ns) for each in self._take_loose() if each.has_changed]
        for record in self._open_records():
            is_due = now >= record.pace.due
            if is_due:
                record.pace.saved(now)
            if record.accumulator.is_pressing or (is_due and record.accumulator.has_changed):
                snapshots.append(record.accumulator.snapshot(now_ns))
        return snapshots + self._take_dropped()

    def next_due(self) -> float | None:
        """Return the monotonic time at which :meth:`due` may have something; None: not before it is woken."""
        times = [self._loose_pace.due] if self._loose else []
        times += [] if self._acts_at is None else [self._acts_at]
        times += [time.monotonic()] if self._dropped else []
        return min(times + [record.pace.due for record in self._open_records()], default=None)

    def alive(self) -> list[Snapshot]:
        """Return snapshots of all open fragments, changed or not: their heartbeat."""
        now = time.time_ns()
        return [record.accumulator.snapshot(now) for record in self._open_records()]

    @property
    def has_open_runs(self) -> bool:
        """Whether any run of this process is open."""
        return bool(self._open_runs())

    def interrupt(self) -> None:
        """Close what is still open because the process ends: with its exact spend, as interrupted."""
        settle()
        self.deferred.work_off()
        for run in self._open_runs():
            run.status = c.INTERRUPTED if run.status == c.RUNNING else run.status
            self.close(run)

    def after_fork(self, process_id: str) -> None:
        """Leave the open fragments to the parent: what this child adds to them goes to late fragments.

        Args:
            process_id: the child's own.
        """
        opened = [run for reference in list(self._open.values()) if (run := reference()) is not None]
        inherited = [(run, record) for run in opened if (record := _record(run)) is not None]
        now = time.time_ns()
        for orphan in self._orphans.values():
            orphan.close(now)  # the parent's: what ends here of it goes to one of this process
        self._reset(process_id)
        for run, record in inherited:
            parents = Accumulator(record.accumulator.facts)
            parents.close(now)
            run.record = _Record(parents, record.started_ns, record.pace, is_inherited=True)

    def _facts(self, run: Run) -> Snapshot:
        now = time.time_ns()
        return Snapshot(
            run_id=run.run_id,
            fragment_id=run.fragment_id,
            process_id=self._process_id,
            kind=run.kind,
            seq=0,
            opened_at=now,
            taken_at=now,
            is_root=run.is_root,
            synthetic=run.synthetic,
            user_id=run.user_id,
            subject=run.subject,
            analysis_id=run.analysis_id,
            enqueued_at=int(run.enqueued_at.timestamp() * 1e9) if run.enqueued_at else None,
            candidates=run.candidates,
            criteria=run.criteria,
            jd_bytes=run.jd[0],
            jd_characters=run.jd[1],
            jd_type=run.jd_type,
        )

    def _orphan_of(self, day: str) -> Accumulator:
        start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1e9)
        return Accumulator(
            Snapshot(
                run_id=uuid.uuid5(ORPHANS, day).hex,
                fragment_id=uuid.uuid4().hex,
                process_id=self._process_id,
                kind="orphan",
                seq=0,
                opened_at=start,
                taken_at=start,
                closed_at=start + 86_400 * 10**9,
                ends_run=True,
                status=c.COMPLETED,
            )
        )

    def _add(self, run: Run, change: Callable[[Accumulator], bool]) -> None:
        """Apply ``change`` to the run's fragment or, once that is closed, to its late one."""
        record = _record(run)
        if record is None or change(record.accumulator):
            return
        late = self.late(run)
        change(late)
        self.hold(late)

    def _update_closed(self, run: Run, record: _Record, facts: dict[str, object]) -> None:
        """A link that comes after the end travels with a late fragment."""
        if run.analysis_id != record.accumulator.facts.analysis_id:
            late = self.late(run)
            late.update(analysis_id=facts["analysis_id"])
            self.hold(late)

    def _warn_of_limits(self, final: Snapshot, run: Run) -> None:
        """Record what the documents of a run are worth a warning of, and leave it on the handle."""
        if not final.is_root or final.synthetic:
            return
        run.warnings = tuple(exceeded(final, self._settings))
        for warned in run.warnings:
            self.warn(
                replace(
                    warned,
                    user_id=final.user_id,
                    subject=final.subject or subject_of(final.run_id),
                    analysis_id=final.analysis_id,
                    is_automatic=True,
                )
            )

    def _tell_metrics(self, final: Snapshot, run: Run) -> None:
        metrics = self._metrics.of(final)
        metrics.unaccounted("unfinished", final.open_calls)
        if final.is_root and final.ends_run:
            metrics.run_ended(merge([final]), trace.set_span_in_context(run.span, Context()))
            if final.synthetic:
                self._metrics.totals.add(c.SYNTHETIC_RUNS, 1)

    def _take_dropped(self) -> list[Snapshot]:
        taken = []
        for accumulator in self._dropped.take():
            with self._lock:
                self._open.pop(accumulator, None)
            if accumulator.is_closed:  # a finalizer ended the run after all
                continue
            final = _interrupted(accumulator)
            metrics = self._metrics.of(final)
            metrics.active(final.kind, -1)
            if final.is_root:
                metrics.run_ended(merge([final]), Context())
            taken.append(final)
        return taken

    def _work_off_later(self, now: float) -> None:
        """Do what was put off, but never at once: the collection may be going on, in another thread."""
        if not self.deferred.acts:
            self._acts_at = None
        elif self._acts_at is None:
            self._acts_at = now + DEFERRED_SECONDS
        elif now >= self._acts_at:
            self._acts_at = None
            self.deferred.work_off()

    def _pace(self) -> Pace:
        return Pace(self._settings.checkpoint_seconds, time.monotonic())

    def _take_loose(self) -> set[Accumulator]:
        with self._lock:
            loose, self._loose = self._loose, set()
        return loose

    def _open_records(self) -> list[_Record]:
        records = [_record(run) for run in self._open_runs()]
        return [record for record in records if record is not None and not record.accumulator.is_closed]

    def _open_runs(self) -> list[Run]:
        with self._lock:
            references = list(self._open.values())
        return [run for reference in references if (run := reference()) is not None]


def document_key(key: bytes, run_id: str, name: str) -> str:
    """Return the keyed hash by which a document is known within its run."""
    told = f"{run_id}\0{name}".encode(errors="surrogatepass")  # a file name need not be UTF-8
    return hmac.digest(key, told, "sha256").hex()[:32]


def _leave_out(call: OpenAICall) -> None:
    """Do nothing."""


def _record(run: Run) -> _Record | None:
    return run.record if isinstance(run.record, _Record) else None


def _interrupted(accumulator: Accumulator) -> Snapshot:
    opened, said = accumulator.facts.opened_at, accumulator.facts.status
    now = max(time.time_ns(), opened + 1)
    status = c.INTERRUPTED if said == c.RUNNING else said
    return accumulator.close(now, status=status, ends_run=True, duration_us=(now - opened) // 1000)
