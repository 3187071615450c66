"""The providers of the SDK that a pipeline is attached to."""

from __future__ import annotations

import time
import weakref
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from telemetry._internal.guard import guarded


class Providers:
    """A provider of spans, which the processor sees, and one of metrics."""

    def __init__(self) -> None:
        """Begin without any."""
        self.meter: MeterProvider | None = None
        self._tracer: weakref.ref[TracerProvider] | None = None
        self._processor: SpanProcessor | None = None

    def attach(self, tracer: TracerProvider, meter: object, processor: SpanProcessor) -> None:
        """Let the processor see all spans of ``tracer``; ``meter`` is ignored if it is not of the SDK."""
        tracer.add_span_processor(processor)
        self._tracer, self._processor = weakref.ref(tracer), processor
        if isinstance(meter, MeterProvider):
            self.meter = meter

    @guarded("processor")
    def detach(self) -> None:
        """Remove the processor from its provider, for which the SDK has no public way."""
        active: Any = getattr(self._living_tracer(), "_active_span_processor", None)
        if hasattr(active, "_span_processors") and hasattr(active, "_lock"):
            with active._lock:
                active._span_processors = tuple(
                    processor for processor in active._span_processors if processor is not self._processor
                )

    def flush(self, deadline: float) -> None:
        """Export metrics and spans, until a monotonic time."""
        for provider in (self.meter, self._living_tracer()):
            seconds = deadline - time.monotonic()
            if provider is not None and seconds > 0:
                with guarded("metrics"):
                    provider.force_flush(int(seconds * 1000))

    def _living_tracer(self) -> TracerProvider | None:
        return self._tracer() if self._tracer is not None else None
