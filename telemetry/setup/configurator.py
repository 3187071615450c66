"""Configure the OpenTelemetry SDK from ``OTEL_*``, with sanitised export of spans and log records.

The same class serves :func:`telemetry.setup_telemetry` and, as an ``opentelemetry_configurator``, the
``opentelemetry-instrument`` command.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry import metrics
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from exporters.privacy.exporters import SanitisingExporter
from telemetry.settings import Settings

GENAI_LABELS: Final = (
    *("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model"),
    *("gen_ai.token.type", "error.type", "server.address", "server.port"),
)
"""Labels of `gen_ai.client.*` by the semantic conventions."""
HTTP_LABELS: Final = (
    *("http.request.method", "http.response.status_code", "http.route", "url.scheme", "error.type"),
    *("network.protocol.name", "network.protocol.version"),
    # The names before the conventions were stable. The target in metrics of Flask is the route.
    *("http.method", "http.status_code", "http.target", "http.scheme", "http.flavor"),
)
"""Labels of `http.server.*` whose values no client can choose."""
LABELS: Final = {"gen_ai.client.*": GENAI_LABELS, "http.server.*": HTTP_LABELS}
CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

_log = logging.getLogger("telemetry")


class SanitisingProcessor(BatchSpanProcessor):
    """A batch processor whose exporter removes personal data from spans."""


class SanitisingLogProcessor(BatchLogRecordProcessor):
    """A batch processor whose exporter removes personal data from log records."""


class TelemetryConfigurator(_OTelSDKConfigurator):
    """The SDK's own configurator, with sanitised export.

    Traces and metrics are exported by OTLP over HTTP if an endpoint is set; log records are exported only if
    OTEL_LOGS_EXPORTER is set.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """Configure with ``settings`` (default: the environment's)."""
        self._settings = settings

    def _configure(self, **kwargs: Any) -> None:
        settings = self._settings or Settings.load()
        _warn_of_configuration_file()
        _default_to_http()
        _drop_instance_id()
        allowed = _allowed(settings)

        def spans(span_exporter: SpanExporter, *args: Any, **options: Any) -> SpanProcessor:
            return SanitisingProcessor(SanitisingExporter(span_exporter, **allowed), *args, **options)

        def records(exporter: LogRecordExporter, *args: Any, **options: Any) -> LogRecordProcessor:
            return SanitisingLogProcessor(SanitisingExporter.for_logs(exporter, **allowed), *args, **options)

        before = metrics.get_meter_provider()
        super()._configure(  # type: ignore[no-untyped-call]
            export_span_processor=spans, export_log_record_processor=records, **kwargs
        )
        if (provider := metrics.get_meter_provider()) is not before:
            _keep_standard_labels(provider)


def _keep_standard_labels(provider: object) -> None:
    """Keep only those labels of standard metrics whose values are few.

    Instrumentations add others: the fingerprint of the service's system changes often, and the host of a
    request is whatever its client says, so that anybody could make any number of series. The SDK's
    configurator does not take views.
    """
    configuration = getattr(provider, "_sdk_config", None)
    if configuration is not None:
        views = [View(instrument_name=name, attribute_keys=set(labels)) for name, labels in LABELS.items()]
        configuration.views = (*configuration.views, *views)


def _warn_of_configuration_file() -> None:
    if os.environ.get("OTEL_CONFIG_FILE"):
        _log.warning(
            "the exporters that OTEL_CONFIG_FILE configures send data that is not sanitised; use"
            " OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER instead"
        )


def _drop_instance_id() -> None:
    """Remove the instance id from OTEL_RESOURCE_ATTRIBUTES, so that the SDK makes one for each process.

    Those who deploy, such as operators of Kubernetes, set it for a container, in which several processes may
    run. With one id their series would be the same, and their values overwrite each other.
    """
    pairs = os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "").split(",")
    kept = [pair for pair in pairs if pair.partition("=")[0].strip() != SERVICE_INSTANCE_ID]
    if len(kept) < len(pairs):
        os.environ[OTEL_RESOURCE_ATTRIBUTES] = ",".join(kept)
        _log.warning(
            "%s in %s is ignored: every process needs an id of its own",
            SERVICE_INSTANCE_ID,
            OTEL_RESOURCE_ATTRIBUTES,
        )


def _default_to_http() -> None:
    """Choose OTLP over HTTP, whose exporter the extra ``sdk`` installs, unless the operator chose another."""
    has_grpc = bool(entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_grpc"))
    if not has_grpc:
        os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    for signal in ("TRACES", "METRICS"):
        wants_grpc = _of_signal(signal, "PROTOCOL").strip() == "grpc"
        if _of_signal(signal, "ENDPOINT"):
            exporter = "otlp_proto_grpc" if has_grpc and wants_grpc else "otlp_proto_http"
            os.environ.setdefault(f"OTEL_{signal}_EXPORTER", exporter)


def _of_signal(signal: str, name: str) -> str:
    """Return the OTLP variable of a signal if it is set, else the variable for all signals."""
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_{name}")
    return own or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def _allowed(settings: Settings) -> dict[str, bool]:
    """Return which personal data may be exported. Message content requires two settings."""
    captured = os.environ.get(CAPTURE, "").strip().lower() not in ("", "no_content", "false")
    if captured != settings.message_content:
        missing = "TELEMETRY_MESSAGE_CONTENT=true" if captured else f"{CAPTURE}=SPAN_ONLY"
        _log.warning("prompts and answers are not exported: this also requires %s", missing)
    return {
        "exception_messages": settings.exception_messages,
        "message_content": captured and settings.message_content,
        "log_messages": settings.log_messages,
    }
