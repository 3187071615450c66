"""The state that is kept for an open span, and what is read from a span."""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span

from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from telemetry import conventions as c
from telemetry._internal.context import stage_in
from telemetry._internal.run import Run
from telemetry.conventions import Attribute
from telemetry.openai.call import OpenAICall

from .calls import text

_REQUEST_FACTS = ("analysis.openai.", "gen_ai.response.", "gen_ai.usage.", "openai.response.")


class SpanState:
    """The run and the stage of an open span, and whether it is counted as a call."""

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
        """Where the start of the span was counted."""
        self.call: weakref.ref[Span] | None = None
        """The span of the official instrumentation for the call: this span, or an ancestor."""
        self.is_part = False
        """Whether this is telemetry's own span of a call, below an official span for the same call."""
        self.ended: Call | None = None
        """The ended call, kept so that adding it can go on after an interruption."""
        self.is_measured = False
        """Whether it was added to the metrics, which must not count it twice."""
        self.seen_call: OpenAICall | None = None
        """The call whose requests were observed; the attributes of the span are then ignored."""


Remembered = tuple[weakref.ref[Span], SpanState]
"""An open span, which may be dropped without an end, and its state."""


def scope_of(span: ReadableSpan) -> str:
    """Return the name of the instrumentation that made ``span``; empty if it has none."""
    scope = span.instrumentation_scope
    return scope.name if scope else ""


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes as a plain dict, because the SDK's mapping is slow to report a missing name."""
    attributes: Any = span.attributes
    copy: dict[str, Any] = attributes.copy()
    return copy


def api_stage(span: Span, scope: str, parent_context: Context) -> str | None:
    """Return the stage for which the API made ``span``, by the Context around it; None for other spans."""
    return span.name if scope == c.SCOPE and stage_in(parent_context) == span.name else None


def stage_on(span: ReadableSpan) -> str | None:
    """Return the stage that an attribute of ``span`` names."""
    return text(attributes_of(span).get(Attribute.STAGE))


def copy_to_call(span: ReadableSpan, call: Span | None) -> None:
    """Copy what telemetry's own span says of a request to the official span of the call, if there is one."""
    if call is not None:
        attributes = (span.attributes or {}).items()
        call.set_attributes({name: value for name, value in attributes if name.startswith(_REQUEST_FACTS)})


def exception_type(span: ReadableSpan) -> str | None:
    """Return the type of the first exception that was recorded on ``span``."""
    for event in span.events:
        if event.name == "exception":
            return text((event.attributes or {}).get("exception.type"))
    return None
