"""The listener at which Prometheus scrapes one process: its own metrics, and nobody else's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from wsgiref.simple_server import WSGIServer

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, start_http_server

from telemetry.settings import Settings

_log = logging.getLogger("telemetry")


class Listener:
    """Answers ``/metrics`` on TELEMETRY_METRICS_HOST and TELEMETRY_METRICS_PORT."""

    def __init__(self, settings: Settings, publish: Callable[[int], None]) -> None:
        """Prepare; ``publish`` is told the port that was bound."""
        self._settings = settings
        self._publish = publish
        self._registry = CollectorRegistry()
        self._server: WSGIServer | None = None
        self._failed = False

    def register(self, provider: MeterProvider) -> None:
        """Read the metrics of ``provider``."""
        provider.add_metric_reader(PrometheusMetricReader(scope_info_enabled=False, registry=self._registry))

    @property
    def port(self) -> int | None:
        """The port that was bound; None while there is no listener."""
        return self._server.server_port if self._server else None

    def start(self) -> None:
        """Bind and answer, once; a port that is taken is one line in the log, and no listener."""
        wanted = self._settings.metrics_port
        if wanted is None or self._server is not None or self._failed:
            return
        try:
            self._server, _ = start_http_server(wanted, self._settings.metrics_host, self._registry)
        except OSError as error:
            self._failed = True
            _log.warning(
                "telemetry has no metrics listener: TELEMETRY_METRICS_PORT=%s on %s cannot be bound (%s);"
                " 0 takes any free port",
                wanted,
                self._settings.metrics_host,
                error.strerror,
            )
            return
        self._publish(self._server.server_port)

    def stop(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def after_fork(self) -> None:
        """Close the parent's socket in a forked child, whose own listener starts with its first run."""
        if self._server is not None:
            self._server.socket.close()
        self._server, self._failed = None, False
