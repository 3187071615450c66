"""Open spans: what is remembered of one, and what is read from it."""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span

from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from telemetry import conventions as c
from telemetry._internal.context import Run, stage_in
from telemetry.conventions import Attribute
from telemetry.openai.call import OpenAICall

from .calls import text

_REQUEST_FACTS = ("analysis.openai.", "gen_ai.response.", "gen_ai.usage.", "openai.response.")


class SpanState:
    """What is remembered of an open span: whose it is, its stage, and whether it is a counted call."""

    __slots__ = (
        "accumulator", "call", "ended", "is_call", "is_measured", "is_part", "own_stage", "run", "stage",
        "seen_call",
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
        self.seen_call: OpenAICall | None = None
        """The call whose request was seen: what the span says is no longer asked."""


Remembered = tuple[weakref.ref[Span], SpanState]


def scope_of(span: ReadableSpan) -> str:
    """Return the name of the instrumentation that made ``span``; empty if it has none."""
    scope = span.instrumentation_scope
    return scope.name if scope else ""


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return a plain dict of what ``span`` holds: the SDK's own mapping is slow where a name is missing."""
    attributes: Any = span.attributes
    copy: dict[str, Any] = attributes.copy()
    return copy


def api_stage(span: Span, scope: str, parent_context: Context) -> str | None:
    """Return the stage that a span of the API stands for: its name, as the Context around it says."""
    return span.name if scope == c.SCOPE and stage_in(parent_context) == span.name else None


def stage_on(span: ReadableSpan) -> str | None:
    """Return the stage that an attribute of ``span`` names."""
    return text(attributes_of(span).get(Attribute.STAGE))


def copy_to_call(span: ReadableSpan, call: Span | None) -> None:
    """Put what a span of ours tells of its request on the official span of that call, which counts."""
    if call is not None:
        told = (span.attributes or {}).items()
        call.set_attributes({name: value for name, value in told if name.startswith(_REQUEST_FACTS)})


def exception_type(span: ReadableSpan) -> str | None:
    """Return the type of the first exception that was recorded on ``span``."""
    for event in span.events:
        if event.name == "exception":
            return text((event.attributes or {}).get("exception.type"))
    return None
