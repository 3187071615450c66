"""Make totals independent of trace sampling: dropped spans are recorded but not exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from telemetry._internal.guard import swallow


class RecordingSampler(Sampler):
    """Turns the DROP of another sampler into RECORD_ONLY: processors see the span, exporters do not.

    It has to be the outermost sampler: ``ParentBased`` would not call it for child spans.
    """

    def __init__(self, sampler: Sampler) -> None:
        """Wrap ``sampler``, which can be of any type."""
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Call the wrapped sampler; if it drops the span or fails, the span is recorded only."""
        result: SamplingResult | None = None
        try:
            result = self._sampler.should_sample(
                parent_context, trace_id, name, kind, attributes, links, trace_state
            )
        except Exception as error:
            swallow("setup", error)
        if result is not None and result.decision is not Decision.DROP:
            return result
        # A DROP result carries no attributes: processors would see an empty span.
        state = (
            result.trace_state
            if result is not None
            else get_current_span(parent_context).get_span_context().trace_state
        )
        return SamplingResult(Decision.RECORD_ONLY, attributes, state)

    def get_description(self) -> str:
        """Return the wrapped sampler's description, marked as recording."""
        return f"RecordingSampler{{{self._sampler.get_description()}}}"


def record_all(provider: Any) -> None:
    """Let ``provider`` and its existing tracers record spans that the sampler drops.

    A second call does nothing.
    """
    if isinstance(provider.sampler, RecordingSampler):
        return
    provider.sampler = RecordingSampler(provider.sampler)
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        tracer.sampler = provider.sampler
