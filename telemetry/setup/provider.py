"""The tracer provider of the process: an existing one, or one that is configured from ``OTEL_*``."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace

from telemetry.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import TracerProvider as AnyProvider

_log = logging.getLogger("telemetry")


def sdk_provider() -> TracerProvider | None:
    """Return the global provider if it is one of the SDK, else None."""
    try:
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def configure(settings: Settings) -> TracerProvider:
    """Configure OpenTelemetry from ``OTEL_*``, and return the provider.

    Raises:
        LookupError: if the process has a provider of another SDK, or an exporter is not installed.
    """
    from .configurator import TelemetryConfigurator

    existing = trace.get_tracer_provider()
    if not isinstance(existing, trace.ProxyTracerProvider):
        kind = type(existing)
        raise LookupError(
            f"the tracer provider of this process is {kind.__module__}.{kind.__qualname__}, not one of the"
            " OpenTelemetry SDK; set telemetry up before it, or remove it"
        )
    try:
        TelemetryConfigurator(settings).configure()  # type: ignore[no-untyped-call]
    except RuntimeError as error:  # OTEL_* names an exporter that is not installed
        raise LookupError(str(error)) from error
    provider = sdk_provider()
    if provider is None:
        raise LookupError("OTEL_* configure a tracer provider that is not one of the OpenTelemetry SDK")
    return provider


def warn_of_foreign_export(provider: AnyProvider) -> None:
    """Warn that spans sent by other libraries' exporters are not sanitised."""
    if foreign_exporters(provider):
        _log.warning("telemetry uses a tracer provider that already exports spans: they are not sanitised")


def warn_of_missing_metrics(settings: Settings) -> None:
    """Warn if the settings ask for metrics, but the host has a provider for spans only."""
    from opentelemetry.sdk.metrics import MeterProvider

    if _wants_metrics(settings) and not isinstance(metrics.get_meter_provider(), MeterProvider):
        _log.warning(
            "telemetry has no metrics: the application has a tracer provider of its own, but no meter"
            " provider of the OpenTelemetry SDK; set one before telemetry is set up"
        )


def _wants_metrics(settings: Settings) -> bool:
    exporters = os.environ.get("OTEL_METRICS_EXPORTER", "")
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    is_pushed = exporters.strip() != "none" and (exporters or any(map(os.environ.get, endpoints)))
    return bool(is_pushed) or settings.metrics_port is not None


def foreign_exporters(provider: AnyProvider) -> list[str]:
    """Return the names of the exporters of ``provider`` whose spans are not sanitised."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    from .configurator import SanitisingProcessor

    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    exporting = [one for one in processors if isinstance(one, BatchSpanProcessor | SimpleSpanProcessor)]
    return [
        type(getattr(processor, "span_exporter", processor)).__name__
        for processor in exporting
        if not isinstance(processor, SanitisingProcessor)
    ]
