"""Requests of OTLP, built by hand, so that nothing on the way has cleaned them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

Request = ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest
SECOND = 1_000_000_000
RESOURCE = {"service.name": "screener", "service.instance.id": "one"}


def span(
    name: str = "analysis",
    *,
    seconds: float = 1,
    trace: bytes = b"",
    parent: bytes = b"",
    is_error: bool = False,
    **attributes: Any,
) -> Span:
    """Return a span that ends now; in names of attributes, ``__`` stands for a dot."""
    end = time.time_ns()
    return Span(
        trace_id=trace or secrets.token_bytes(16),
        span_id=secrets.token_bytes(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=end - int(seconds * SECOND),
        end_time_unix_nano=end,
        attributes=pairs({key.replace("__", "."): value for key, value in attributes.items()}),
        status=Status(code=Status.STATUS_CODE_ERROR if is_error else Status.STATUS_CODE_UNSET),
    )


def traces(
    *spans: Span, resource: Mapping[str, Any] = RESOURCE, scope: str = "analysis.telemetry"
) -> ExportTraceServiceRequest:
    """Return a request with spans of one process and one scope."""
    scoped = ScopeSpans(spans=spans)
    scoped.scope.name = scoped.scope.version = scope
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=Resource(attributes=pairs(resource)), scope_spans=[scoped])]
    )


def logs(*records: LogRecord, resource: Mapping[str, Any] = RESOURCE) -> ExportLogsServiceRequest:
    """Return a request with log records of one process."""
    return ExportLogsServiceRequest(
        resource_logs=[
            ResourceLogs(
                resource=Resource(attributes=pairs(resource)), scope_logs=[ScopeLogs(log_records=records)]
            )
        ]
    )


def counter(
    name: str, value: int, instance: str = "one", at: int = 0, **labels: str
) -> ExportMetricsServiceRequest:
    """Return a request with one cumulative counter."""
    now = at or time.time_ns()
    point = NumberDataPoint(
        attributes=pairs(labels), start_time_unix_nano=now - SECOND, time_unix_nano=now, as_int=value
    )
    total = Sum(
        data_points=[point],
        is_monotonic=True,
        aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
    )
    resource = Resource(attributes=pairs({"service.name": "screener", "service.instance.id": instance}))
    return ExportMetricsServiceRequest(
        resource_metrics=[
            ResourceMetrics(
                resource=resource,
                scope_metrics=[ScopeMetrics(metrics=[Metric(name=name, unit="{run}", sum=total)])],
            )
        ]
    )


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Return attributes as OTLP has them."""
    return [KeyValue(key=key, value=value_of(value)) for key, value in attributes.items()]


def value_of(value: Any) -> AnyValue:
    """Return a value as OTLP has it."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[value_of(one) for one in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    return AnyValue(string_value=str(value))
