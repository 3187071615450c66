"""Incidents of the Collector: its backend is away, it is full, or it is down."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator

from tests.collector.messages import counter, span, traces
from tests.live.incident import incident
from tests.live.incidents.calls import repeated
from tests.live.system import System

QUEUE = re.compile(
    r'^otelcol_exporter_queue_(size|capacity)\{[^}]*exporter="otlp_grpc/jaeger"[^}]*\} (\S+)$', re.M
)
MANY_TRACES = 56_000
"""More than the Collector keeps in mind (`num_traces`)."""
REQUEST = 4_000


@incident(
    "OtelcolQueueFilling",
    also=("OtelcolSendFailing",),
    how="Jaeger is killed, and spans are sent until the queue is nearly full",
    cure="Jaeger is started",
)
def queue_fills(system: System) -> Iterator[None]:
    system.jaeger.kill()
    try:
        while _queued(system) < 0.85:
            _send(system, 1000)
            time.sleep(0.2)  # until they are in the queue
        yield
    finally:
        system.jaeger.start()


@incident(
    "OtelcolQueueFull",
    "OtelcolRefusing",
    "OtelcolSendFailing",
    also=("OtelcolQueueFilling",),
    how="Jaeger is killed, spans go on, and a request of metrics is larger than the queue",
    cure="Jaeger is started",
)
def queue_full(system: System) -> Iterator[None]:
    system.jaeger.kill()
    try:
        for _ in range(3):
            _too_large(system)
        with repeated(lambda: _send(system, 3000), 0.3):
            yield
    finally:
        system.jaeger.start()


@incident(
    "OtelcolTracesDroppedEarly",
    how=f"{MANY_TRACES:,} traces arrive within seconds, more than the Collector keeps",
    cure="no more arrive",
)
def traces_forgotten(system: System) -> Iterator[None]:
    for _ in range(0, MANY_TRACES, REQUEST):
        system.collector.send("traces", traces(*(span() for _ in range(REQUEST))))
    yield


@incident(
    "OtelcolDown",
    also=("AnalysisMetricsAbsent",),
    how="the Collector is killed",
    cure="it is started",
)
def collector_down(system: System) -> Iterator[None]:
    system.collector.kill()
    yield
    system.collector.start()


def _queued(system: System) -> float:
    """Return which share of the queue for Jaeger is full."""
    found = {name: float(value) for name, value in QUEUE.findall(system.collector.metrics())}
    return found.get("size", 0) / found.get("capacity", 1)


def _send(system: System, spans: int) -> None:
    """Send spans of one trace, which is kept, since they are errors."""
    trace = secrets.token_bytes(16)
    system.collector.send("traces", traces(*(span(trace=trace, is_error=True) for _ in range(spans))))


def _too_large(system: System) -> None:
    """Send more metrics at once than the queue can hold."""
    request = counter("analysis.test", 1, filler="x" * 4_000_000)
    try:
        system.collector.send("metrics", request)
    except OSError:
        pass  # it is refused
