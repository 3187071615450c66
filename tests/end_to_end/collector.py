"""A receiver of OTLP over HTTP, which keeps the requests it receives and decodes them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.local_server import Handler, LocalServer

Labels = frozenset[tuple[str, str]]
Series = tuple[str, str, Labels]
"""Process, metric and labels."""


class Collector(LocalServer):
    """Receives traces and metrics on a free port while the `with` block runs."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        """Path and body of every request."""
        received = self.bodies

        class Receiver(Handler):
            def do_POST(self) -> None:
                received.append((self.path, self.body()))
                self.answer()

        super().__init__(Receiver)

    def spans(self) -> list[tuple[str, Span]]:
        """Return all spans, each with the name of its instrumentation scope."""
        return [
            (scope.scope.name, span)
            for body in self._bodies("/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def total(self, name: str, **labels: str) -> Decimal:
        """Return the sum over all processes of a counter's newest values, or of a histogram's counts."""
        newest = {key: point for key, point in self._points(name) if labels.items() <= set(key[2])}
        return sum((_value(point) for point in newest.values()), Decimal(0))

    def processes(self) -> set[str]:
        """Return the ids of the instances that sent metrics."""
        return {
            _instance(resource.resource)
            for body in self._bodies("/v1/metrics")
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
        }

    def _points(self, name: str) -> Iterator[tuple[Series, Any]]:
        """Yield all values of a metric, in the order of arrival."""
        for body in self._bodies("/v1/metrics"):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name == name:
                            for point in _points_of(metric):
                                yield (_instance(resource.resource), name, _labels(point.attributes)), point

    def _bodies(self, path: str) -> list[bytes]:
        return [body for known, body in self.bodies if known == path]


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as a dictionary; lists and the like are not decoded."""
    return {pair.key: _plain(pair) for pair in pairs}


def _plain(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return getattr(pair.value, kind) if kind else None


def _labels(pairs: Any) -> Labels:
    return frozenset((name, str(value)) for name, value in attributes(pairs).items())


def _instance(resource: Resource) -> str:
    return str(attributes(resource.attributes)["service.instance.id"])


def _points_of(metric: Metric) -> Any:
    return getattr(metric, metric.WhichOneof("data") or "gauge").data_points


def _value(point: Any) -> Decimal:
    """Return the value of a point; floats are rounded to whole pico-dollars or microseconds."""
    if not isinstance(point, NumberDataPoint):
        return Decimal(point.count)
    if point.WhichOneof("value") == "as_int":
        return Decimal(point.as_int)
    return Decimal(point.as_double).quantize(Decimal("1e-12"))
