"""The HTTP endpoint at which Prometheus scrapes this one process."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Final
from wsgiref.simple_server import WSGIServer

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, start_http_server

from telemetry.settings import Settings

RETRY_SECONDS: Final = 5.0
"""Seconds before a port that was taken is tried again."""

_log = logging.getLogger("telemetry")


class Listener:
    """Serves ``/metrics`` on TELEMETRY_METRICS_HOST and TELEMETRY_METRICS_PORT."""

    def __init__(self, settings: Settings, publish: Callable[[int], None]) -> None:
        """Prepare; ``publish`` will be called with the bound port."""
        self._settings = settings
        self._publish = publish
        self._registry = CollectorRegistry()
        self._server: WSGIServer | None = None
        self._has_complained = False
        self._try_again_at = 0.0

    def register(self, provider: MeterProvider) -> None:
        """Serve the metrics of ``provider``."""
        provider.add_metric_reader(PrometheusMetricReader(scope_info_enabled=False, registry=self._registry))

    @property
    def port(self) -> int | None:
        """The bound port, or None while there is no listener."""
        return self._server.server_port if self._server else None

    def start(self) -> None:
        """Bind the port and serve. If it is taken, log that; a later call tries again."""
        wanted = self._settings.metrics_port
        if wanted is None or self._server is not None or time.monotonic() < self._try_again_at:
            return
        try:
            self._server, _ = start_http_server(wanted, self._settings.metrics_host, self._registry)
        except OSError as error:
            self._try_again_at = time.monotonic() + RETRY_SECONDS
            self._complain(error)
            return
        if self._has_complained:
            _log.info("telemetry answers Prometheus on TELEMETRY_METRICS_PORT=%s now", wanted)
        self._publish(self._server.server_port)

    def _complain(self, error: OSError) -> None:
        """Log once that this process has no metrics endpoint."""
        if self._has_complained:
            return
        self._has_complained = True
        _log.warning(
            "telemetry answers no Prometheus for process %s: TELEMETRY_METRICS_PORT=%s on %s cannot be bound"
            " (%s); the process that has this port reports only its own metrics; 0 takes a free port for each"
            " process",
            os.getpid(),
            self._settings.metrics_port,
            self._settings.metrics_host,
            error.strerror,
        )

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def after_fork(self) -> None:
        """Close the socket of the parent in a forked child, whose own listener starts with its first run."""
        if self._server is not None:
            self._server.socket.close()
        self._server, self._has_complained, self._try_again_at = None, False, 0.0
