"""Configures the OpenTelemetry SDK from ``OTEL_*``, with sanitised span export.

The same class serves :func:`telemetry.setup.setup_telemetry` and, as an ``opentelemetry_configurator``, the
``opentelemetry-instrument`` command.
"""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from .settings import Settings

SANITISER_GROUP: Final = "analysis_telemetry_sanitiser"


class SanitisingProcessor(BatchSpanProcessor):
    """A batch processor whose exporter is known to send nothing personal."""


class TelemetryConfigurator(_OTelSDKConfigurator):
    """Upstream's configurator.

    Traces and metrics go out by OTLP over HTTP as soon as an endpoint is named.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Configure with ``settings`` (default: the environment's)."""
        self._settings = settings

    def _configure(self, **kwargs: Any) -> None:
        settings = self._settings or Settings.load()
        if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
            os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp_proto_http")
            os.environ.setdefault("OTEL_METRICS_EXPORTER", "otlp_proto_http")

        def processor(span_exporter: SpanExporter, *args: Any, **options: Any) -> SpanProcessor:
            return SanitisingProcessor(_sanitised(span_exporter, settings), *args, **options)

        super()._configure(  # type: ignore[no-untyped-call]
            export_span_processor=processor, **kwargs
        )


def _sanitised(exporter: SpanExporter, settings: Settings) -> SpanExporter:
    """Wrap ``exporter`` in the installed sanitiser.

    Raises:
        LookupError: when there is none: nothing is exported rather than something unclean.
    """
    found = list(entry_points(group=SANITISER_GROUP))
    if not found:
        raise LookupError(
            "analysis-telemetry is not installed in this environment: spans cannot be sanitised"
        )
    wrapped: SpanExporter = found[0].load()(exporter, exception_messages=settings.exception_messages)
    return wrapped
