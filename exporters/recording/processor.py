"""The span processor that adds spans to the fragment of their run.

``on_start`` reads the run and the stage of a span from its Context; ``on_end`` adds stage times to the run's
accumulator. OpenAI calls are added by :meth:`RollupProcessor.call_ended`, from the observed requests, or by
``on_end`` from the attributes of their span if no request was observed. No method does I/O or raises: the SDK
would pass an exception on to the application.
"""

from __future__ import annotations

import weakref
from functools import partial

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from exporters.metrics.instruments import Metrics, exemplar
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from telemetry import conventions as c
from telemetry._internal.context import recorder_in, run_in, stage_in
from telemetry.conventions import Attribute
from telemetry.openai.call import OpenAICall
from telemetry.pricing.prices import Pricer

from . import calls
from .calls import text
from .deferral import deferrable
from .dropped import Dropped
from .recorder import RunRecorder
from .spans import (
    Remembered,
    SpanState,
    api_stage,
    attributes_of,
    copy_to_call,
    exception_type,
    scope_of,
    stage_on,
)


class RollupProcessor(SpanProcessor):
    """Adds spans and calls to the fragments of a recorder, and to the metrics."""

    def __init__(self, recorder: RunRecorder, metrics: Metrics, price: Pricer) -> None:
        """Add to ``recorder`` and ``metrics``; ``price`` returns the price of a call."""
        self._recorder = recorder
        self._fragments = recorder.fragments
        self.deferral = recorder.deferral
        """Work that arrived during a garbage collection."""
        self._metrics = metrics
        self._price = price
        self._is_stopped = False
        self._spans: dict[int, Remembered] = {}
        self._dropped: Dropped[Span, int] = Dropped()
        """Ids of spans that were dropped without an end."""
        recorder.count_calls(self)

    @deferrable("processor")
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember the run, the stage and the call of a span."""
        parent_context = get_current() if parent_context is None else parent_context
        if self._is_stopped or recorder_in(parent_context) is not self._recorder:
            return
        run, scope, parent = run_in(parent_context), scope_of(span), self._parent_of(span)
        parent_call = None if parent is None else parent[1].call
        is_part = parent_call is not None and scope == c.OPENAI_SCOPE and self._awaits_request(parent_call())
        is_call = (
            not is_part
            and scope in c.COUNTED_SCOPES
            and span.name.partition(" ")[0] not in c.UNBILLED_OPERATIONS
        )
        own_stage = api_stage(span, scope, parent_context) or stage_on(span)
        # The span of a run is in no stage. Its state would keep a reference to the run, which keeps the span.
        is_of_run = scope == c.SCOPE and own_stage is None and Attribute.RUN_KIND in attributes_of(span)
        if (run is None and not is_call and parent_call is None) or is_of_run:
            return
        timed_stage = None if scope == c.SCOPE else own_stage  # the API measures its own stages
        state = SpanState(
            run, own_stage or self._inherited(span, parent) or stage_in(parent_context), timed_stage, is_call
        )
        state.call, state.is_part = weakref.ref(span) if is_call else parent_call, is_part
        self._count_open(span.start_time or 0, state)
        self._remember(span, state)

    def on_end(self, span: ReadableSpan) -> None:
        """Add the stage or the call that the span measured.

        Most spans belong to no run, or to a call that was added already. For these nothing can block or
        fail, so they do not need the wrapper of :func:`deferrable`.
        """
        known = self._spans.get(span.context.span_id) if span.context else None
        if known is None:
            return
        call = known[1].seen_call
        if call is not None and call.is_done:
            self._spans.pop(span.context.span_id, None)
        else:
            self._end_remembered(span, known[1])

    @deferrable("processor")
    def _end_remembered(self, span: ReadableSpan, state: SpanState) -> None:
        self.deferral.perform(partial(self._end, span, state))
        self._spans.pop(span.context.span_id, None)

    def _end(self, span: ReadableSpan, state: SpanState) -> None:
        if state.seen_call is not None:
            state.seen_call.span_ended()
        elif state.is_call:
            self._end_call(span, state)
        elif state.is_part and state.call is not None:
            copy_to_call(span, state.call())
        elif state.own_stage and state.accumulator is not None and not state.is_measured:
            state.is_measured = True
            self._end_stage(span, state, state.own_stage, state.accumulator)

    @deferrable("processor")
    def call_started(self, call: OpenAICall) -> None:
        """Note the first request of a call, which is then counted instead of its span."""
        state = self._span_of(call)
        if state is None:
            state = SpanState(call.run, self._stage_below(call.parent) or call.stage, None, True)
            self._count_open(call.started_ns, state)
        call.record = state

    @deferrable("processor")
    def call_ended(self, call: OpenAICall) -> None:
        """Add a call whose requests were observed."""
        state = call.record
        if not isinstance(state, SpanState):
            return
        self.deferral.perform(partial(self._end_observed, call, state))
        call.record = None

    def _end_observed(self, call: OpenAICall, state: SpanState) -> None:
        state.ended = state.ended or calls.from_wire(call, state.stage or c.Stage.UNATTRIBUTED, self._price)
        self._count(state.ended, call.started_ns, state)

    def stop(self) -> None:
        """Ignore spans that start from now on: a provider cannot remove a processor."""
        self._is_stopped = True

    def shutdown(self) -> None:
        """Do nothing: the pipeline closes runs and drains the writer before the providers shut down."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is buffered here."""
        return True

    def _parent_of(self, span: Span) -> Remembered | None:
        """Return the state of the parent of ``span``."""
        return self._spans.get(span.parent.span_id) if span.parent is not None else None

    def _inherited(self, span: Span, parent: Remembered | None) -> str | None:
        """Return the stage of ``parent``, if it belongs to this process."""
        if parent is None or span.parent is None or span.parent.is_remote:
            return None
        return self._stage_of(*parent)

    def _span_of(self, call: OpenAICall) -> SpanState | None:
        """Return the state of the span that stands for ``call``, unless another call has it already."""
        known = self._spans.get(call.span.get_span_context().span_id)
        if known is not None and known[1].is_part and known[1].call is not None:
            official = known[1].call()
            known = None if official is None else self._spans.get(official.context.span_id)
        if known is None or not known[1].is_call or known[1].seen_call is not None:
            return None
        known[1].seen_call = call
        return known[1]

    def _awaits_request(self, call: Span | None) -> bool:
        """Return whether ``call`` is a span of the official instrumentation without an observed request."""
        if call is None or scope_of(call) != c.GENAI_SCOPE:
            return False
        known = self._spans.get(call.context.span_id)
        return known is not None and known[1].seen_call is None

    def _stage_below(self, parent: trace.Span) -> str | None:
        """Return the stage for children of the local span ``parent``; None if that is not known."""
        known = self._spans.get(parent.get_span_context().span_id)
        return None if known is None else self._stage_of(*known)

    @staticmethod
    def _stage_of(reference: weakref.ref[Span], state: SpanState) -> str | None:
        span = reference()
        if span is None or scope_of(span) == c.SCOPE:
            return state.stage
        return stage_on(span) or state.stage  # it may have been set after the start

    def _count_open(self, started_ns: int, state: SpanState) -> None:
        if not (state.is_call or state.own_stage):
            return
        if state.run is not None:
            state.accumulator = self._fragments.accumulator_for(state.run, started_ns)
        if state.accumulator is None:
            state.run = None
            if not state.is_call:
                return
            state.accumulator = self._fragments.orphan(started_ns)
        if not state.is_call:
            state.accumulator.stage_started(state.own_stage or "", started_ns)
        elif state.accumulator.call_started():
            self._fragments.announce(state.accumulator)

    def _remember(self, span: Span, state: SpanState) -> None:
        if self._dropped:
            for span_id in self._dropped.take():
                self._spans.pop(span_id, None)
        span_id = span.context.span_id
        self._spans[span_id] = self._dropped.follow(span, span_id), state

    def _end_stage(self, span: ReadableSpan, state: SpanState, stage: str, accumulator: Accumulator) -> None:
        start, end = span.start_time or 0, span.end_time or 0
        accumulator.stage_ended(stage, end)
        self._fragments.save_soon(accumulator)
        self._plain_error(span, state, stage, accumulator)
        self._metrics.of(state.run).observe(
            c.STAGE_DURATION, max(end - start, 0) / 1e9, exemplar(span.context), stage=stage
        )

    def _plain_error(
        self, span: ReadableSpan, state: SpanState, stage: str, accumulator: Accumulator
    ) -> None:
        """Count the error of a span that the host made; the API counts the errors of its own blocks."""
        if span.status.status_code is trace.StatusCode.ERROR:
            error_type = (
                text((span.attributes or {}).get(Attribute.ERROR_TYPE)) or exception_type(span) or "error"
            )
            accumulator.error(stage, error_type)
            self._metrics.of(state.run).totals.add(c.ERRORS, 1, stage=stage, type=error_type)

    def _end_call(self, span: ReadableSpan, state: SpanState) -> None:
        stage = state.stage or c.Stage.UNATTRIBUTED
        state.ended = state.ended or calls.from_span(span, attributes_of(span), stage, self._price)
        self._count(state.ended, span.start_time or 0, state)

    def _count(self, call: Call, started_ns: int, state: SpanState) -> None:
        self._add_call(call, started_ns, state)
        if state.is_measured:
            return
        state.is_measured = True
        metrics = self._metrics.of(state.run)
        if state.run is None:
            metrics.unaccounted("orphan")
        metrics.call(call)

    def _add_call(self, call: Call, started_ns: int, state: SpanState) -> None:
        """Add the call to the fragment in which it started or, if that has closed, to another."""
        target = state.accumulator
        if target is None or not target.call_ended(call):
            is_late, target = target is not None, self._fragments.late_or_orphan(state.run, started_ns)
            target.call_ended(call, counted_open=False, finished_late=is_late)
        self._fragments.save_soon(target)
