"""One logical call of OpenAI as it was seen on its way: what rollups are made of, whatever spans keep of it.

Spans may be sampled away, limited in what they hold, made by somebody else or not made at all. So what a call
cost does not travel on one: the facts are kept here, and go to the recorder directly. Spans get a copy, for
traces.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.trace import Span

from telemetry._internal.context import Run, recorder_in, run_in, stage_in
from telemetry.conventions import GENAI_SCOPE, Attribute
from telemetry.pricing.provider import AZURE, provider_of
from telemetry.usage.answer import Answer
from telemetry.usage.endpoints import BILLED_IN_TOKENS

from .attempts import Attempt, Attributes, attempt_attributes, settle
from .spans import billed_tools, end_span, type_name

_TAKEN: Final = "_analysis_telemetry_call"
"""Set on an official span, as an object, once the request of its call was seen."""
_NO_ANSWER: Final = Answer()


class OpenAICall:
    """What is known of one call. The recorder reads it when the call has ended."""

    __slots__ = (
        "answer",
        "asked_model",
        "asked_tier",
        "attempt_facts",
        "attempts",
        "billed_by",
        "billed_tools",
        "context",
        "ended_ns",
        "error_type",
        "has_unknown_bill",
        "is_done",
        "is_span_ours",
        "operation",
        "parent",
        "record",
        "span",
        "started_ns",
        "__weakref__",
    )

    def __init__(self, operation: str, host: str, is_azure_client: bool, body: Mapping[str, Any]) -> None:
        """Begin a call in the run and the stage that are current.

        Args:
            operation: its ``gen_ai.operation.name``.
            host: name or address that it is sent to.
            is_azure_client: whether one of the client's classes for Azure sends it.
            body: what is sent, as far as it is a mapping.
        """
        self.operation = operation
        self.billed_by = provider_of(host, is_azure_client)
        """Whose prices hold, one of :data:`telemetry.pricing.provider.PROVIDERS`."""
        self.asked_model = _text(body.get("model"))
        self.asked_tier = _text(body.get("service_tier"))
        self.billed_tools = billed_tools(body)
        """Tools it lets the service use, and that are billed beside tokens."""
        self.context = current = context.get_current()
        """What was current when the call began; so was the span ``parent``."""
        self.parent: Span = trace.get_current_span(current)
        self.span: Span = trace.INVALID_SPAN
        """The one that stands for the call in traces."""
        self.is_span_ours = False
        self.started_ns = time.time_ns()
        self.ended_ns: int | None = None
        self.attempts: list[Attempt] = []
        self.attempt_facts: Attributes = {}
        self.answer = _NO_ANSWER
        self.error_type: str | None = None
        self.has_unknown_bill = False
        """Whether more may have been billed than the answer says."""
        self.is_done = False
        self.record: object | None = None
        """What the recorder keeps for this call; nobody else touches it."""

    @property
    def provider(self) -> str:
        """Its ``gen_ai.provider.name``."""
        return "azure.ai.openai" if self.billed_by == AZURE else "openai"

    @property
    def run(self) -> Run | None:
        """The run that was current when it began."""
        return run_in(self.context)

    @property
    def stage(self) -> str | None:
        """The stage that was current when it began."""
        return stage_in(self.context)

    def begin(self) -> None:
        """Tell the recorder that the call is under way."""
        if (recorder := recorder_in(self.context)) is not None:
            recorder.call_started(self)

    def describe_attempts(self) -> None:
        """Find out what the attempts met, and put them on the span."""
        settle(self.attempts)
        self.attempt_facts = attempt_attributes(self.attempts)
        if self.span.is_recording():
            self.span.set_attributes(self.attempt_facts)
            if self.billed_tools:
                self.span.set_attribute(Attribute.TOOL_FEES, True)

    def describe_usage(self) -> None:
        """Put tokens, model and tier of the answer on the span."""
        if self.span.is_recording():
            self.span.set_attributes(_usage_attributes(self.answer, self.operation in BILLED_IN_TOKENS))

    def span_ended(self) -> None:
        """Note that the span of somebody else which stands for the call has ended."""

    def pause(self) -> None:
        """Say that the request was answered, and how the work ends will only be known later."""
        self.ended_ns = time.time_ns()
        if self.is_span_ours:
            self.is_span_ours = False
            self.span.end()

    def end(self, error: BaseException | None = None) -> None:
        """Say that the call is over: once; a span of ours ends with it."""
        if self.is_done:
            return
        self.is_done = True
        self.ended_ns = self.ended_ns or time.time_ns()
        if error is not None:
            self.error_type = type_name(error)
        try:
            if (recorder := recorder_in(self.context)) is not None:
                recorder.call_ended(self)
        finally:
            if self.is_span_ours:
                end_span(self.span, self.error_type)


def awaits_call(span: Span) -> bool:
    """Say whether ``span`` is an official one whose request has not been seen yet."""
    scope = getattr(span, "instrumentation_scope", None)
    return (
        scope is not None and scope.name == GENAI_SCOPE and span.is_recording() and not hasattr(span, _TAKEN)
    )


def take(span: Span) -> None:
    """Note that the request of an official span was seen: the next one below it is another call."""
    setattr(span, _TAKEN, True)


def _usage_attributes(answer: Answer, in_tokens: bool) -> Attributes:
    attributes: Attributes = {}
    if answer.model is not None:
        attributes[Attribute.RESPONSE_MODEL] = answer.model
    if answer.service_tier is not None:
        attributes[Attribute.SERVICE_TIER] = answer.service_tier
    tokens = answer.tokens
    if tokens is not None and in_tokens:
        attributes[Attribute.INPUT_TOKENS] = tokens.input
        attributes[Attribute.OUTPUT_TOKENS] = tokens.output
        attributes[Attribute.CACHED_TOKENS] = tokens.cached
        attributes[Attribute.REASONING_TOKENS] = tokens.reasoning
        attributes[Attribute.CACHE_WRITE_TOKENS] = tokens.cache_write
    return attributes


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
