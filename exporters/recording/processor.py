"""The span processor that turns spans into the rollup of their run.

``on_start`` finds the run in the Context and the stage of the span; ``on_end`` adds stage times to the run's
accumulator. OpenAI calls are added by :meth:`RollupProcessor.call_ended`, from what was seen on the wire;
those whose request nobody saw, from what their span says. No method does I/O, and no exception of ours gets
out: the SDK would hand it to the application.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from exporters.metrics.instruments import Metrics, exemplar
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from telemetry import conventions as c
from telemetry._internal.context import Run, recorder_in, run_in, stage_in
from telemetry.conventions import Attribute
from telemetry.openai.call import OpenAICall
from telemetry.pricing.prices import Pricer

from . import calls
from .calls import text
from .deferral import deferrable
from .dropped import Dropped
from .recorder import RunRecorder


class _SpanState:
    """What is remembered of an open span: whose it is, its stage, and whether it is a counted call."""

    __slots__ = (
        "accumulator", "call", "ended", "is_call", "is_measured", "is_part", "own_stage", "run", "stage",
        "taken_by",
    )  # fmt: skip

    def __init__(self, run: Run | None, stage: str | None, own_stage: str | None, is_call: bool) -> None:
        self.run = run
        self.stage = stage
        self.own_stage = own_stage
        self.is_call = is_call
        self.accumulator: Accumulator | None = None
        """Where the span was counted as open."""
        self.call: weakref.ref[Span] | None = None
        """The official span of the call which this one is, or is in."""
        self.is_part = False
        """Whether a span of ours tells of the call it is in, because another tool's came in between."""
        self.ended: Call | None = None
        """The call, once it ended: what is interrupted then goes on with it."""
        self.is_measured = False
        """Whether the metrics know: at most once, where the rollup is exact."""
        self.taken_by: OpenAICall | None = None
        """The call whose request was seen: what the span says is no longer asked."""


_Remembered = tuple[weakref.ref[Span], _SpanState]


class RollupProcessor(SpanProcessor):
    """Feeds the runs of a recorder, and the metrics, from spans that end."""

    def __init__(self, recorder: RunRecorder, metrics: Metrics, price: Pricer) -> None:
        """Feed ``recorder`` and ``metrics``; ``price`` prices a call."""
        self._recorder = recorder
        self.deferred = recorder.deferred
        """What the garbage collector told of, and is not done yet."""
        self._metrics = metrics
        self._price = price
        self._is_stopped = False
        self._spans: dict[int, _Remembered] = {}
        self._dropped: Dropped[Span, int] = Dropped()
        """Ids of spans that never ended."""
        recorder.count_calls(self)

    @deferrable("processor")
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember whose span this is."""
        parent_context = get_current() if parent_context is None else parent_context
        if self._is_stopped or recorder_in(parent_context) is not self._recorder:
            return
        run, scope, above = run_in(parent_context), _scope(span), self._above(span)
        around = None if above is None else above[1].call
        is_part = around is not None and scope == c.OPENAI_SCOPE and self._awaits_request(around())
        is_call = (
            not is_part
            and scope in c.COUNTED_SCOPES
            and span.name.partition(" ")[0] not in c.UNBILLED_OPERATIONS
        )
        own = _api_stage(span, scope, parent_context) or _stage_on(span)
        # A run holds its own span, which is in no stage: remembering it here would keep the run alive.
        is_of_run = scope == c.SCOPE and own is None and Attribute.RUN_KIND in _copied(span.attributes)
        if (run is None and not is_call and around is None) or is_of_run:
            return
        timed = None if scope == c.SCOPE else own  # the API measures its own blocks
        state = _SpanState(
            run, own or self._inherited(span, above) or stage_in(parent_context), timed, is_call
        )
        state.call, state.is_part = weakref.ref(span) if is_call else around, is_part
        self._count_open(span.start_time or 0, state)
        self._remember(span, state)

    def on_end(self, span: ReadableSpan) -> None:
        """Add what the span measured.

        Most spans are none of ours, or stand for a call that has ended: nothing of it may wait then, or fail.
        """
        known = self._spans.get(span.context.span_id) if span.context else None
        if known is None:
            return
        call = known[1].taken_by
        if call is not None and call.is_done:
            self._spans.pop(span.context.span_id, None)
        else:
            self._end_remembered(span, known[1])

    @deferrable("processor")
    def _end_remembered(self, span: ReadableSpan, state: _SpanState) -> None:
        self.deferred.do(partial(self._end, span, state))
        self._spans.pop(span.context.span_id, None)

    def _end(self, span: ReadableSpan, state: _SpanState) -> None:
        if state.taken_by is not None:
            state.taken_by.span_ended()
        elif state.is_call:
            self._end_call(span, state)
        elif state.is_part and state.call is not None:
            _hand_over(span, state.call())
        elif state.own_stage and state.accumulator is not None and not state.is_measured:
            state.is_measured = True
            self._end_stage(span, state, state.own_stage, state.accumulator)

    @deferrable("processor")
    def call_started(self, call: OpenAICall) -> None:
        """Note a call that was seen on its way: it takes the place of the span that stands for it."""
        state = self._taken_over(call)
        if state is None:
            state = _SpanState(call.run, self._stage_below(call.parent) or call.stage, None, True)
            self._count_open(call.started_ns, state)
        call.record = state

    @deferrable("processor")
    def call_ended(self, call: OpenAICall) -> None:
        """Add a call that was seen on its way."""
        state = call.record
        if not isinstance(state, _SpanState):
            return
        self.deferred.do(partial(self._end_seen, call, state))
        call.record = None

    def _end_seen(self, call: OpenAICall, state: _SpanState) -> None:
        state.ended = state.ended or calls.from_wire(call, state.stage or c.Stage.UNATTRIBUTED, self._price)
        self._count(state.ended, call.started_ns, state)

    def stop(self) -> None:
        """Take no notice of spans that begin from now on: a provider keeps its processors for ever."""
        self._is_stopped = True

    def shutdown(self) -> None:
        """Do nothing: the pipeline closes runs and drains the writer before the providers go."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits here."""
        return True

    def _above(self, span: Span) -> _Remembered | None:
        """Return what is remembered of the span that ``span`` is below."""
        return self._spans.get(span.parent.span_id) if span.parent is not None else None

    def _inherited(self, span: Span, above: _Remembered | None) -> str | None:
        """Return the stage of the span ``above``, if it is of this process."""
        if above is None or span.parent is None or span.parent.is_remote:
            return None
        return self._stage_of(*above)

    def _taken_over(self, call: OpenAICall) -> _SpanState | None:
        """Return what is remembered of the span that stands for a call, which no other call takes then."""
        known = self._spans.get(call.span.get_span_context().span_id)
        if known is not None and known[1].is_part and known[1].call is not None:
            official = known[1].call()
            known = None if official is None else self._spans.get(official.context.span_id)
        if known is None or not known[1].is_call or known[1].taken_by is not None:
            return None
        known[1].taken_by = call
        return known[1]

    def _awaits_request(self, call: Span | None) -> bool:
        """Say whether ``call`` is an official span whose request nobody has seen yet."""
        if call is None or _scope(call) != c.GENAI_SCOPE:
            return False
        known = self._spans.get(call.context.span_id)
        return known is not None and known[1].taken_by is None

    def _stage_below(self, parent: trace.Span) -> str | None:
        """Return the stage of what begins below the local span ``parent``; None where no span tells."""
        known = self._spans.get(parent.get_span_context().span_id)
        return None if known is None else self._stage_of(*known)

    @staticmethod
    def _stage_of(reference: weakref.ref[Span], state: _SpanState) -> str | None:
        span = reference()
        if span is None or _scope(span) == c.SCOPE:
            return state.stage
        return _stage_on(span) or state.stage  # perhaps set later

    def _count_open(self, started_ns: int, state: _SpanState) -> None:
        if not (state.is_call or state.own_stage):
            return
        if state.run is not None:
            state.accumulator = self._recorder.accumulator_for(state.run, started_ns)
        if state.accumulator is None:
            state.run = None
            if not state.is_call:
                return
            state.accumulator = self._recorder.orphan(started_ns)
        if not state.is_call:
            state.accumulator.stage_started(state.own_stage or "", started_ns)
        elif state.accumulator.call_started():
            self._recorder.announce(state.accumulator)

    def _remember(self, span: Span, state: _SpanState) -> None:
        if self._dropped:
            for gone in self._dropped.take():
                self._spans.pop(gone, None)
        span_id = span.context.span_id
        self._spans[span_id] = self._dropped.follow(span, span_id), state

    def _end_stage(self, span: ReadableSpan, state: _SpanState, stage: str, accumulator: Accumulator) -> None:
        start, end = span.start_time or 0, span.end_time or 0
        accumulator.stage_ended(stage, end)
        self._recorder.hold(accumulator)
        self._plain_error(span, state, stage, accumulator)
        self._metrics.of(state.run).observe(
            c.STAGE_DURATION, max(end - start, 0) / 1e9, exemplar(span.context), stage=stage
        )

    def _plain_error(
        self, span: ReadableSpan, state: _SpanState, stage: str, accumulator: Accumulator
    ) -> None:
        """Count the failure of a plain span; the API counts those of its own blocks."""
        if span.status.status_code is trace.StatusCode.ERROR:
            error_type = (
                text((span.attributes or {}).get(Attribute.ERROR_TYPE)) or _exception_type(span) or "error"
            )
            accumulator.error(stage, error_type)
            self._metrics.of(state.run).totals.add(c.ERRORS, 1, stage=stage, type=error_type)

    def _end_call(self, span: ReadableSpan, state: _SpanState) -> None:
        stage = state.stage or c.Stage.UNATTRIBUTED
        state.ended = state.ended or calls.from_span(span, _copied(span.attributes), stage, self._price)
        self._count(state.ended, span.start_time or 0, state)

    def _count(self, call: Call, started_ns: int, state: _SpanState) -> None:
        self._add_call(call, started_ns, state)
        if state.is_measured:
            return
        state.is_measured = True
        metrics = self._metrics.of(state.run)
        if state.run is None:
            metrics.unaccounted("orphan")
        metrics.call(call)

    def _add_call(self, call: Call, started_ns: int, state: _SpanState) -> None:
        """Add the call where it was counted as open, or where it belongs by now."""
        target = state.accumulator
        if target is None or not target.call_ended(call):
            is_late, target = target is not None, self._recorder.after_the_end(state.run, started_ns)
            target.call_ended(call, counted_open=False, finished_late=is_late)
        self._recorder.hold(target)


_REQUEST_FACTS = ("analysis.openai.", "gen_ai.response.", "gen_ai.usage.", "openai.response.")


def _scope(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    return scope.name if scope else ""


def _copied(attributes: Any) -> dict[str, Any]:
    """Return what a span holds as a plain dict: the SDK's own mapping is slow where a name is missing."""
    copy: dict[str, Any] = attributes.copy()
    return copy


def _api_stage(span: Span, scope: str, parent_context: Context) -> str | None:
    """Return the stage that a span of the API stands for: its name, as the Context around it says."""
    return span.name if scope == c.SCOPE and stage_in(parent_context) == span.name else None


def _stage_on(span: ReadableSpan) -> str | None:
    return text(_copied(span.attributes).get(Attribute.STAGE))


def _hand_over(span: ReadableSpan, call: Span | None) -> None:
    """Put what a span of ours tells of its request on the official span of that call, which counts."""
    if call is not None:
        told = (span.attributes or {}).items()
        call.set_attributes({name: value for name, value in told if name.startswith(_REQUEST_FACTS)})


def _exception_type(span: ReadableSpan) -> str | None:
    for event in span.events:
        if event.name == "exception":
            return text((event.attributes or {}).get("exception.type"))
    return None
