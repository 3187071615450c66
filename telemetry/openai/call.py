"""One logical OpenAI call: the facts that rollups are made of, independent of spans.

Spans may be sampled, limited in size, created by another library or not created at all. So the facts of a
call are collected here and passed to the recorder directly; spans get a copy, for traces.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.trace import Span

from telemetry._internal.context import recorder_in, run_in, stage_in
from telemetry._internal.run import Run
from telemetry.conventions import GENAI_SCOPE, Attribute
from telemetry.pricing.provider import AZURE, provider_of
from telemetry.usage.answer import Answer
from telemetry.usage.endpoints import BILLED_IN_TOKENS

from .attempts import Attempt, Attributes, attempt_attributes, classify_refusals
from .spans import billed_tools, end_span, type_name

_CLAIMED: Final = "_analysis_telemetry_call"
"""Attribute of an official span object, set once a request has been assigned to it."""
_NO_ANSWER: Final = Answer()


class OpenAICall:
    """The facts of one call. The recorder reads them when the call has ended."""

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
        """Begin a call in the current run and stage.

        Args:
            operation: its ``gen_ai.operation.name``.
            host: host name or address of the request.
            is_azure_client: whether one of the client's Azure classes sends it.
            body: the request body if it is a mapping, else empty.
        """
        self.operation = operation
        self.billed_by = provider_of(host, is_azure_client)
        """The provider whose prices apply, one of :data:`telemetry.pricing.provider.PROVIDERS`."""
        self.asked_model = _text(body.get("model"))
        self.asked_tier = _text(body.get("service_tier"))
        self.billed_tools = billed_tools(body)
        """Hosted tools that the request allows and that are billed in addition to tokens."""
        self.context = current = context.get_current()
        """The context in which the call began; ``parent`` is its span."""
        self.parent: Span = trace.get_current_span(current)
        self.span: Span = trace.INVALID_SPAN
        """The span of the call in traces."""
        self.is_span_ours = False
        self.started_ns = time.time_ns()
        self.ended_ns: int | None = None
        self.attempts: list[Attempt] = []
        self.attempt_facts: Attributes = {}
        self.answer = _NO_ANSWER
        self.error_type: str | None = None
        self.has_unknown_bill = False
        """Whether more may have been billed than the answer reports."""
        self.is_done = False
        self.record: object | None = None
        """State of the recorder for this call; no other code uses it."""

    @property
    def provider(self) -> str:
        """The ``gen_ai.provider.name`` of the call."""
        return "azure.ai.openai" if self.billed_by == AZURE else "openai"

    @property
    def run(self) -> Run | None:
        """The run in which the call began."""
        return run_in(self.context)

    @property
    def stage(self) -> str | None:
        """The stage in which the call began."""
        return stage_in(self.context)

    def begin(self) -> None:
        """Report to the recorder that the call has begun."""
        if (recorder := recorder_in(self.context)) is not None:
            recorder.call_started(self)

    def describe_attempts(self) -> None:
        """Determine the statuses of the attempts and set the attributes that follow from them on the span."""
        classify_refusals(self.attempts)
        self.attempt_facts = attempt_attributes(self.attempts)
        if self.span.is_recording():
            self.span.set_attributes(self.attempt_facts)
            if self.billed_tools:
                self.span.set_attribute(Attribute.TOOL_FEES, True)

    def describe_usage(self) -> None:
        """Set tokens, model and tier of the answer on the span."""
        if self.span.is_recording():
            self.span.set_attributes(_usage_attributes(self.answer, self.operation in BILLED_IN_TOKENS))

    def span_ended(self) -> None:
        """React to the end of the official span of the call; the default does nothing."""

    def pause(self) -> None:
        """Mark the request as answered while the service is still working on the result."""
        self.ended_ns = time.time_ns()
        if self.is_span_ours:
            self.is_span_ours = False
            self.span.end()

    def end(self, error: BaseException | None = None) -> None:
        """End the call, and its span if it is ours; later calls do nothing."""
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
    """Return whether ``span`` is an official span to which no request has been assigned yet."""
    scope = getattr(span, "instrumentation_scope", None)
    return (
        scope is not None
        and scope.name == GENAI_SCOPE
        and span.is_recording()
        and not hasattr(span, _CLAIMED)
    )


def claim(span: Span) -> None:
    """Assign a request to an official span; another request below that span is another call."""
    setattr(span, _CLAIMED, True)


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
