"""What the Collector has accepted survives a backend that is away, and its own death."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.collector.messages import SECOND, counter, span, traces
from tests.collector.receiver import Receiver
from tests.collector.running import BASE, PATIENCE, RunningCollector
from tests.postgres import free_port
from tests.prometheus import receiving
from tests.waiting import until

SPANS, POINTS = 300, 50
PROMETHEUS = "/api/v1/otlp/v1/metrics"


def test_kill_loses_nothing(tmp_path: Path) -> None:
    """With the backend gone and the Collector killed, every span and point arrives later, once or twice."""
    port = free_port()
    settings = {
        "VENDOR_ENDPOINT": f"http://127.0.0.1:{port}",
        "VENDOR_API_KEY": "key",
        "COLLECTOR_PROMETHEUS": f"http://127.0.0.1:{port}",
    }
    layers = (*BASE, "prometheus.yaml", "examples/vendor-otlp.yaml")
    collector = RunningCollector(tmp_path, *layers, **settings)
    sent = [span(f"stage {number}", is_error=True) for number in range(SPANS)]
    now = time.time_ns()

    with Receiver(port) as receiver:
        with collector:
            collector.send("traces", traces(*sent[:10]))
            until(lambda: len(receiver.spans()) == 10, PATIENCE, what="the first spans")
    with collector:
        for number in range(10, SPANS, 10):
            collector.send("traces", traces(*sent[number : number + 10]))
        for value in range(POINTS):
            collector.send("metrics", counter("analysis.runs", value, at=now + value * SECOND))
        # A decision about a trace is made in memory, at most some ticks after its spans have come.
        until(
            lambda: _queued(collector) and _accepted(collector) == SPANS - 10, PATIENCE, what="queues on disk"
        )
        collector.kill()
    with Receiver(port, receiver.bodies) as receiver, collector:
        expected = {one.span_id for one in sent}
        until(lambda: {one.span_id for one in receiver.spans()} == expected, PATIENCE, what="all spans")
        points = set(range(POINTS))
        until(lambda: set(_values(receiver, PROMETHEUS)) == points, PATIENCE, what="all points")
        until(lambda: set(_values(receiver, "/v1/metrics")) == points, PATIENCE, what="all points")

    values = _values(receiver, PROMETHEUS)
    assert sorted(set(values)) == list(dict.fromkeys(values)), "the order of points is kept"


def test_remote_write_survives_too(tmp_path: Path) -> None:
    """With the second Prometheus away and the Collector killed, every point is in it afterwards."""
    prometheus = receiving()
    collector = RunningCollector(
        tmp_path,
        *(*BASE, "examples/remote-write.yaml"),
        REMOTE_WRITE_URL=f"{prometheus.url}/api/v1/write",
    )
    earlier = time.time_ns() - POINTS * SECOND
    with collector:
        for value in range(POINTS):
            collector.send("metrics", counter("analysis.runs", value, at=earlier + value * SECOND))
        written = "otelcol_exporter_prometheusremotewrite_wal_writes_total"
        until(lambda: sum(_samples(collector, written)) == POINTS, PATIENCE, what="the log on disk")
        collector.kill()

    with prometheus, collector:
        count = "count_over_time(analysis_runs_total[1h])"
        until(
            lambda: [one["value"][1] for one in prometheus.query(count)] == [str(POINTS)],
            PATIENCE,
            what="all points",
        )


def test_a_damaged_queue_is_moved_away(tmp_path: Path) -> None:
    """The Collector says what is wrong; without the damaged file it works again."""
    port = free_port()
    place = {"COLLECTOR_PROMETHEUS": f"http://127.0.0.1:{port}"}
    collector = RunningCollector(tmp_path, *BASE, "prometheus.yaml", **place)
    with collector:
        collector.send("metrics", counter("analysis.runs", 1))
    (queue,) = (tmp_path / "queues").iterdir()
    queue.write_text("damaged")

    with pytest.raises(AssertionError, match="invalid database"):
        collector.start()
    queue.rename(tmp_path / "damaged")
    with Receiver(port) as receiver, collector:
        collector.send("metrics", counter("analysis.runs", 2))
        until(lambda: _values(receiver, PROMETHEUS) == [2], PATIENCE, what="the point after the damage")


def _values(receiver: Receiver, path: str) -> list[int]:
    """Return the values of the counter that a backend has got on a path, in their order."""
    return [
        point.as_int
        for metric in receiver.metrics(path)
        if metric.name == "analysis.runs"
        for point in metric.sum.data_points
    ]


def _queued(collector: RunningCollector) -> bool:
    """Return whether all three queues that are used contain something."""
    return sum(size > 0 for size in _samples(collector, "otelcol_exporter_queue_size")) == 3


def _accepted(collector: RunningCollector) -> float:
    return sum(_samples(collector, "otelcol_processor_tail_sampling_count_traces_sampled_total"))


def _samples(collector: RunningCollector, name: str) -> list[float]:
    lines = collector.metrics().splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} "))]
