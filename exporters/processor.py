"""The span processor that turns spans into the rollup of their run.

``on_start`` finds the run in the Context and the stage of the span; ``on_end`` adds stage times and OpenAI
calls to the run's accumulator. Neither does I/O, and no exception of ours gets out: the SDK would hand it
to the application.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from functools import partial
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from telemetry import conventions as c
from telemetry._context import Run, run_in, stage_in
from telemetry._guard import guarded
from telemetry.conventions import Attribute
from telemetry.pricing import Pricer, Tokens

from .accumulator import Accumulator, Call
from .deferred import deferrable
from .dropped import Dropped
from .metrics import Metrics
from .recorder import RunRecorder


class _SpanState:
    """What is remembered of an open span: whose it is, its stage, and whether it is a counted call."""

    __slots__ = (
        "accumulator", "call", "ended", "is_call", "is_measured", "is_part", "own_stage", "run", "stage",
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
        self._spans: dict[int, tuple[weakref.ref[Span], _SpanState]] = {}
        self._dropped: Dropped[Span, int] = Dropped()
        """Ids of spans that never ended."""

    @deferrable
    @guarded("processor")
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember whose span this is."""
        if self._is_stopped:
            return
        run, attributes = run_in(parent_context), span.attributes or {}
        scope, around = _scope(span), self._call_around(span)
        is_part = around is not None and scope == c.OPENAI_SCOPE and _awaits_attempts(around())
        is_call = (
            not is_part
            and scope in c.COUNTED_SCOPES
            and attributes.get(Attribute.OPERATION) not in c.UNBILLED_OPERATIONS
        )
        # A run holds its own span, which is in no stage: remembering it here would keep the run alive.
        if (run is None and not is_call and around is None) or Attribute.RUN_ID in attributes:
            return
        own = _text(attributes.get(Attribute.STAGE))
        state = _SpanState(run, own or self._inherited(span, parent_context), own, is_call)
        state.call, state.is_part = weakref.ref(span) if is_call else around, is_part
        self._count_open(span, state)
        self._remember(span, state)

    @deferrable
    @guarded("processor")
    def on_end(self, span: ReadableSpan) -> None:
        """Add what the span measured."""
        known = self._spans.get(span.context.span_id) if span.context else None
        if known is not None:
            self.deferred.do(partial(self._end, span, known[1]))
            self._spans.pop(span.context.span_id, None)

    def _end(self, span: ReadableSpan, state: _SpanState) -> None:
        if state.is_call:
            self._end_call(span, state)
        elif state.is_part and state.call is not None:
            _hand_over(span, state.call())
        elif state.own_stage and state.accumulator is not None and not state.is_measured:
            state.is_measured = True
            self._end_stage(span, state, state.own_stage, state.accumulator)

    def stop(self) -> None:
        """Take no notice of spans that begin from now on: a provider keeps its processors for ever."""
        self._is_stopped = True

    def shutdown(self) -> None:
        """Do nothing: the pipeline closes runs and drains the writer before the providers go."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing waits here."""
        return True

    def _call_around(self, span: Span) -> weakref.ref[Span] | None:
        """Return the span of the call that ``span`` is in."""
        known = self._spans.get(span.parent.span_id) if span.parent is not None else None
        return known[1].call if known is not None else None

    def _inherited(self, span: Span, parent_context: Context | None) -> str | None:
        """Return the stage of the nearest local parent, else that of the Context."""
        local = span.parent
        if local is not None and not local.is_remote:
            known = self._spans.get(local.span_id)
            if known is not None:
                parent, state = known[0](), known[1]
                set_later = _text((parent.attributes or {}).get(Attribute.STAGE)) if parent else None
                return set_later or state.stage or stage_in(parent_context)
        return stage_in(parent_context)

    def _count_open(self, span: Span, state: _SpanState) -> None:
        if state.run is None or span.start_time is None:
            return
        if not (state.is_call or state.own_stage):
            return
        state.accumulator = self._recorder.accumulator_for(state.run, span.start_time)
        if state.accumulator is None:
            state.run = None
            return
        if state.is_call:
            state.accumulator.call_started()
        elif state.own_stage:
            state.accumulator.stage_started(state.own_stage, span.start_time)

    def _remember(self, span: Span, state: _SpanState) -> None:
        for span_id in self._dropped.take():
            self._spans.pop(span_id, None)
        span_id = span.context.span_id
        self._spans[span_id] = self._dropped.follow(span, span_id), state

    def _end_stage(self, span: ReadableSpan, state: _SpanState, stage: str, accumulator: Accumulator) -> None:
        start, end = span.start_time or 0, span.end_time or 0
        accumulator.stage_ended(stage, end)
        self._recorder.hold(accumulator)
        if _scope(span) != c.SCOPE:
            self._plain_error(span, state, stage, accumulator)
        self._metrics.of(state.run).observe(
            c.STAGE_DURATION, max(end - start, 0) / 1e9, _exemplar(span), stage=stage
        )

    def _plain_error(
        self, span: ReadableSpan, state: _SpanState, stage: str, accumulator: Accumulator
    ) -> None:
        """Count the failure of a plain span; the API counts those of its own blocks."""
        if span.status.status_code is trace.StatusCode.ERROR:
            error_type = (
                _text((span.attributes or {}).get(Attribute.ERROR_TYPE)) or _exception_type(span) or "error"
            )
            accumulator.error(stage, error_type)
            self._metrics.of(state.run).totals.add(c.ERRORS, 1, stage=stage, type=error_type)

    def _end_call(self, span: ReadableSpan, state: _SpanState) -> None:
        attributes = _copied(span.attributes)
        call = state.ended = state.ended or self._call(span, attributes, state.stage or c.Stage.UNATTRIBUTED)
        self._add_call(call, span, state)
        if state.is_measured:
            return
        state.is_measured = True
        metrics = self._metrics.of(state.run)
        if state.accumulator is None:
            metrics.unaccounted("orphan")
        metrics.call(call)
        _headroom(metrics, attributes, call.model)

    def _add_call(self, call: Call, span: ReadableSpan, state: _SpanState) -> None:
        """Add the call where it was counted as open, or where it belongs by now."""
        target = state.accumulator
        if state.run is None or target is None:
            target = self._recorder.orphan(span.start_time or 0)
            target.call_ended(call, counted_open=False)
        elif not target.call_ended(call):
            target = self._recorder.late(state.run)
            target.call_ended(call, counted_open=False, finished_late=True)
        self._recorder.hold(target)

    def _call(self, span: ReadableSpan, attributes: Mapping[str, Any], stage: str) -> Call:
        model = _text(attributes.get(Attribute.RESPONSE_MODEL)) or _text(
            attributes.get(Attribute.REQUEST_MODEL)
        )
        tier = _tier(attributes)
        start, end = span.start_time or 0, span.end_time or 0
        tokens = _tokens(attributes)
        return Call(
            stage=stage[:64],
            operation=(_text(attributes.get(Attribute.OPERATION)) or "unknown")[:32],
            model=(model or "")[:128],
            service_tier=tier[:32],
            ok=Attribute.ERROR_TYPE not in attributes
            and span.status.status_code is not trace.StatusCode.ERROR,
            duration_us=max(end - start, 0) // 1000,
            statuses=_texts(attributes.get(Attribute.ATTEMPT_STATUSES)),
            backoff_us=round(_number(attributes.get(Attribute.BACKOFF)) * 1e6),
            retry_after_us=round(_number(attributes.get(Attribute.RETRY_AFTER)) * 1e6),
            tokens=tokens,
            price=self._priced(attributes, model, tokens, start, tier),
            has_tool_fees=Attribute.TOOL_FEES in attributes,
        )

    @guarded("pricing")
    def _priced(
        self, attributes: Mapping[str, Any], model: str | None, tokens: Tokens | None, start: int, tier: str
    ) -> Any:
        if tokens is None or not model:
            return None
        provider = _PROVIDERS.get(_text(attributes.get(Attribute.PROVIDER)) or "", "openai")
        return self._price(provider, model, tokens, start, tier)


_PROVIDERS = {"openai": "openai", "azure.ai.openai": "azure"}
_REQUEST_FACTS = ("analysis.openai.", "gen_ai.response.", "gen_ai.usage.", "openai.response.")
_LIMITS = {Attribute.REMAINING_REQUESTS: "requests", Attribute.REMAINING_TOKENS: "tokens"}


def _scope(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    return scope.name if scope else ""


def _copied(attributes: Any) -> dict[str, Any]:
    """Return what a span holds as a plain dict: the SDK's own mapping is slow where a name is missing."""
    copy: dict[str, Any] = attributes.copy()
    return copy


def _awaits_attempts(call: Span | None) -> bool:
    """Say whether ``call`` is an official span whose request nobody has told of yet."""
    return (
        call is not None
        and _scope(call) == c.GENAI_SCOPE
        and Attribute.ATTEMPTS not in (call.attributes or {})
    )


def _hand_over(span: ReadableSpan, call: Span | None) -> None:
    """Put what a span of ours tells of its request on the official span of that call, which counts."""
    if call is not None:
        told = (span.attributes or {}).items()
        call.set_attributes({name: value for name, value in told if name.startswith(_REQUEST_FACTS)})


def _tokens(attributes: Mapping[str, Any]) -> Tokens | None:
    """Return the tokens of a call, None when the service reported none."""
    if Attribute.INPUT_TOKENS not in attributes and Attribute.OUTPUT_TOKENS not in attributes:
        return None
    return Tokens(
        input=int(_number(attributes.get(Attribute.INPUT_TOKENS))),
        output=int(_number(attributes.get(Attribute.OUTPUT_TOKENS))),
        cached=int(_number(attributes.get(Attribute.CACHED_TOKENS))),
        reasoning=int(_number(attributes.get(Attribute.REASONING_TOKENS))),
        cache_write=int(_number(attributes.get(Attribute.CACHE_WRITE_TOKENS))),
    )


def _tier(attributes: Mapping[str, Any]) -> str:
    """Return the tier that was billed; where the answer does not say, the one that was asked for."""
    asked = _text(attributes.get(Attribute.REQUEST_TIER))
    return _text(attributes.get(Attribute.SERVICE_TIER)) or (asked if asked and asked != "auto" else "")


def _headroom(metrics: Metrics, attributes: Mapping[str, Any], model: str) -> None:
    for name, limit in _LIMITS.items():
        if name in attributes:
            metrics.headroom(model, limit, _number(attributes[name]))


def _exemplar(span: ReadableSpan) -> Context:
    """Return a context that names the span which ended: during ``on_end`` the current one is its parent's."""
    return trace.set_span_in_context(trace.NonRecordingSpan(span.context), otel_context.Context())


def _exception_type(span: ReadableSpan) -> str | None:
    for event in span.events:
        if event.name == "exception":
            return _text((event.attributes or {}).get("exception.type"))
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple([str(item) for item in value]) if isinstance(value, (tuple, list)) else ()


def _number(value: object) -> float:
    return value if isinstance(value, (int, float)) else 0
