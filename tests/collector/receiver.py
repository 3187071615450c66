"""A backend that receives OTLP over HTTP, and can be away for a while."""

from __future__ import annotations

import gzip

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.local_server import Handler, LocalServer


class Receiver(LocalServer):
    """Keeps the bodies that it receives on any path; several may share one list."""

    def __init__(self, port: int = 0, bodies: list[tuple[str, bytes]] | None = None) -> None:
        self.bodies: list[tuple[str, bytes]] = [] if bodies is None else bodies
        """Path and unpacked body of each request."""
        self.keys: set[str | None] = set()
        """API keys or credentials of the requests."""
        received, keys = self.bodies, self.keys

        class Receiving(Handler):
            def do_POST(self) -> None:
                body = self.body()
                keys.add(self.headers["api-key"] or self.headers["authorization"])
                is_packed = self.headers.get("Content-Encoding") == "gzip"
                received.append((self.path, gzip.decompress(body) if is_packed else body))
                self.answer()

        super().__init__(Receiving, port)

    def spans(self) -> list[Span]:
        """Return all spans."""
        return [
            span
            for body in self._bodies("/v1/traces")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self, path: str = "/v1/metrics") -> list[Metric]:
        """Return all metrics of a path in the order of arrival."""
        return [
            metric
            for body in self._bodies(path)
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def records(self) -> list[LogRecord]:
        """Return all log records."""
        return [
            record
            for body in self._bodies("/v1/logs")
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def _bodies(self, path: str) -> list[bytes]:
        return [body for known, body in self.bodies if known == path]
