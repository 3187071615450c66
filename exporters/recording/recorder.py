"""Adds what the API reports, such as stages, documents and errors, to the fragments of the runs."""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context

from exporters.metrics.instruments import Metrics, exemplar
from exporters.privacy.document_key import document_key
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.limits import exceeded
from exporters.rollup.merge import merge
from exporters.rollup.snapshot import Snapshot
from exporters.spool.warning_event import WarningEvent, subject_of
from telemetry import conventions as c
from telemetry._internal.process.streams import settle
from telemetry._internal.run import Document, OpenStage, Run, Warned
from telemetry.api import arguments
from telemetry.openai.call import OpenAICall
from telemetry.settings import Settings

from .deferral import deferrable
from .fragments import Fragments, Record, Save, record_of


class CallCounter(Protocol):
    """Counts calls in the fragments of a recorder."""

    def call_started(self, call: OpenAICall) -> None:
        """Note that a call has started."""

    def call_ended(self, call: OpenAICall) -> None:
        """Add a call that has ended."""


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
        """Record runs.

        Args:
            settings: for the hash key, and the declared counters and types of warnings.
            process_id: the id of this process, which its fragments record.
            metrics: for runs, stages and errors.
            save: called with the first and the final snapshot of a run, in the thread of the caller.
            wake: called after a change that the writer should save before long.
            nudge: called, perhaps during a garbage collection, when work was deferred.
            is_key_shared: whether other processes have the same hash key; if not, each run has a key of its
                own, which is in its carrier.
        """
        self._settings = settings
        self.kinds = (*c.RUN_KINDS, *settings.run_kinds)
        self._metrics = metrics
        self._save = save
        self._wake = wake
        self.fragments = Fragments(settings, metrics, process_id, save, wake, nudge)
        self.deferral = self.fragments.deferral
        """Work that arrived during a garbage collection."""
        self._key = settings.hmac_key.encode()
        self._is_key_shared = is_key_shared
        self.call_started: Callable[[OpenAICall], None] = _ignore
        """Note that a call has started: see :meth:`count_calls`."""
        self.call_ended: Callable[[OpenAICall], None] = _ignore
        """Add a call that has ended."""

    @deferrable("recorder")
    def open(self, run: Run) -> None:
        """Open the fragment of ``run`` and save its first snapshot."""
        if not (self._is_key_shared or run.document_key):
            run.document_key = hmac.new(self._key, run.run_id.encode(), hashlib.sha256).hexdigest()
        accumulator = self.fragments.open(run)
        self._metrics.of(run).active(run.kind, 1)
        self._save(accumulator.snapshot(time.time_ns()))
        self._wake()

    @deferrable("recorder")
    def close(self, run: Run) -> None:
        """Close the fragment of ``run``, save its final snapshot, and add to the metrics."""
        record = record_of(run)
        if record is None or record.accumulator.is_closed:
            return
        self.deferral.perform(partial(self._close, run, record, time.monotonic_ns() - record.started_ns))

    def _close(self, run: Run, record: Record, elapsed_ns: int) -> None:
        """Do the work of :meth:`close`. A signal may interrupt it at any point; then it is done again."""
        if record.final is None:
            settle()
            self.deferral.catch_up()
            self.update(run)
            record.final = record.accumulator.close(
                record.accumulator.facts.opened_at + max(elapsed_ns, 1),  # the clock may be set back
                status=run.status,
                ends_run=run.finishes,
                duration_us=elapsed_ns // 1000,
            )
        self._save(record.final)
        if not self.fragments.forget(record.accumulator):
            return
        self._metrics.of(run).active(run.kind, -1)
        self._warn_of_limits(record.final, run)
        self._wake()
        self._measure_end(record.final, run)

    @deferrable("recorder")
    def update(self, run: Run) -> None:
        """Copy the facts of the handle into the fragment."""
        record = record_of(run)
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
            self.fragments.save_soon(record.accumulator)

    @deferrable("recorder")
    def document(self, run: Run, document: Document) -> None:
        """Add one visit to a document. Its name is replaced by a keyed hash."""
        if run.kind == "intake":
            document.analysis_ns = None  # an intake names and stores documents, and does not analyse them
        key = document_key(run.document_key.encode() or self._key, run.run_id, document.key)
        self._add(run, lambda accumulator: accumulator.document(key, document))

    @deferrable("recorder")
    def count(self, run: Run, name: str, amount: int) -> None:
        """Add to a counter; to ``other`` if the name is not declared in the settings."""
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
        """Start the clock of a stage."""
        accumulator = self.fragments.accumulator_for(stage.run, stage.started_ns)
        if accumulator is not None:
            stage.record = accumulator
            accumulator.stage_started(stage.name, stage.started_ns)

    @deferrable("recorder")
    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Stop the clock of a stage, and record its duration."""
        accumulator, stage.record = stage.record, None
        if not isinstance(accumulator, Accumulator):
            return
        accumulator.stage_ended(stage.name, ended_ns)
        self.fragments.save_soon(accumulator)
        seconds = max(ended_ns - stage.started_ns, 0) / 1e9
        self._metrics.of(stage.run).observe(
            c.STAGE_DURATION, seconds, exemplar(span.get_span_context()), stage=stage.name
        )

    @deferrable("recorder")
    def warn(self, warned: Warned) -> None:
        """Save a warning, or the answer of a user to warnings."""
        if not warned.is_answer:
            types = self._settings.warning_types
            known = arguments.one_of("warning_type", warned.type, types, "TELEMETRY_WARNING_TYPES")
            warned = replace(warned, type=known)
        self._save(WarningEvent(uuid.uuid4().hex, time.time_ns(), warned))
        self._wake()

    def count_calls(self, counter: CallCounter) -> None:
        """Have calls counted by ``counter``; until then they are ignored."""
        self.call_started, self.call_ended = counter.call_started, counter.call_ended

    def interrupt(self) -> None:
        """Close all open runs as interrupted, with what they have spent, because the process ends."""
        settle()
        self.deferral.catch_up()
        for run in self.fragments.open_runs():
            run.status = c.INTERRUPTED if run.status == c.RUNNING else run.status
            self.close(run)

    def _add(self, run: Run, change: Callable[[Accumulator], bool]) -> None:
        """Apply ``change`` to the fragment of a run or, if it has closed, to its late fragment."""
        record = record_of(run)
        if record is None or change(record.accumulator):
            return
        late = self.fragments.late(run)
        change(late)
        self.fragments.save_soon(late)

    def _update_closed(self, run: Run, record: Record, facts: dict[str, object]) -> None:
        """Report an ``analysis_id`` that is set after the end of a run in its late fragment."""
        if run.analysis_id != record.accumulator.facts.analysis_id:
            late = self.fragments.late(run)
            late.update(analysis_id=facts["analysis_id"])
            self.fragments.save_soon(late)

    def _warn_of_limits(self, final: Snapshot, run: Run) -> None:
        """Record warnings about the limits that a run exceeds, also on its handle."""
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

    def _measure_end(self, final: Snapshot, run: Run) -> None:
        metrics = self._metrics.of(final)
        metrics.unaccounted("unfinished", final.open_calls)
        if final.is_root and final.ends_run:
            metrics.run_ended(merge([final]), trace.set_span_in_context(run.span, Context()))
            if final.synthetic:
                self._metrics.totals.add(c.SYNTHETIC_RUNS, 1)


def _ignore(call: OpenAICall) -> None:
    """Ignore a call."""
