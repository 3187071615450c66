"""Metrics in a real Prometheus, by OTLP and by remote write; everything in the format of Grafana Cloud."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tests.collector.messages import counter, logs, span, traces
from tests.collector.receiver import Receiver
from tests.collector.running import BASE, PATIENCE, RunningCollector
from tests.prometheus import Prometheus, receiving
from tests.waiting import until


@pytest.fixture(scope="module")
def second() -> Iterator[Prometheus]:
    """A second Prometheus, which nothing but remote writes reaches."""
    with receiving() as prometheus:
        yield prometheus


@pytest.fixture(scope="module")
def first(second: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The Prometheus of the Collector, after a metric and a slow span of two instances."""
    folder = tmp_path_factory.mktemp("collector")
    layers = (*BASE, "prometheus.yaml", "examples/remote-write.yaml")
    with receiving() as prometheus:
        settings = {
            "COLLECTOR_PROMETHEUS": prometheus.url,
            "REMOTE_WRITE_URL": f"{second.url}/api/v1/write",
        }
        with RunningCollector(folder, *layers, **settings) as collector:
            for value in (2, 5):
                collector.send("metrics", counter("analysis.runs", value, kind="analysis"))
            collector.send("metrics", counter("analysis.runs", 11, "two", kind="analysis"))
            collector.send("traces", traces(slow))
            until(lambda: _runs(prometheus) == RUNS and _runs(second) == RUNS, PATIENCE, what="both")
            yield prometheus


slow = span("rank", seconds=42, analysis__stage="ranking")
RUNS = {"one": 5, "two": 11}


def _runs(prometheus: Prometheus) -> dict[str, float]:
    found = prometheus.query('analysis_runs_total{job="screener", kind="analysis"}')
    return {sample["metric"]["instance"]: float(sample["value"][1]) for sample in found}


def test_names_and_instances(first: Prometheus, second: Prometheus) -> None:
    """A counter arrives under its name in Prometheus, with each process as an instance, on both ways."""
    assert _runs(first) == _runs(second) == RUNS


def test_spans_are_measured_in_seconds_with_exemplars(first: Prometheus) -> None:
    """The duration of a stage is in seconds, and its exemplar leads to the very trace."""
    name = "traces_span_metrics_duration_seconds"
    until(lambda: first.query(f'{name}_count{{analysis_stage="ranking"}}'), PATIENCE, what="the duration")

    [total] = first.query(f'{name}_sum{{analysis_stage="ranking"}}')
    assert float(total["value"][1]) == pytest.approx(42)
    assert "analysis_run_id" not in total["metric"]
    found = first.get("query_exemplars", query=f"{name}_bucket", start="0", end="9999999999")
    traces_of = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert traces_of == {slow.trace_id.hex()}


def test_grafana_cloud_gets_all_signals_with_its_credentials(tmp_path: Path) -> None:
    """Below the path of its endpoint, and only cleaned data, as any backend."""
    credentials = "MTIzNDU2OmdsY18="
    with Receiver() as cloud:
        settings = {
            "GRAFANA_CLOUD_OTLP_ENDPOINT": f"{cloud.url}/otlp",
            "GRAFANA_CLOUD_OTLP_CREDENTIALS": credentials,
        }
        layers = (*BASE, "examples/grafana-cloud.yaml")
        with RunningCollector(tmp_path, *layers, **settings) as collector:
            collector.send("traces", traces(span("rank", is_error=True, user__email="a@example.com")))
            collector.send("metrics", counter("analysis.runs", 5))
            collector.send("logs", logs(LogRecord(time_unix_nano=time.time_ns(), severity_text="WARN")))
            wanted = {f"/otlp/v1/{signal}" for signal in ("traces", "metrics", "logs")}
            until(lambda: {path for path, _ in cloud.bodies} == wanted, PATIENCE, what="all signals")

    assert cloud.keys == {f"Basic {credentials}"}
    assert not any(b"a@example.com" in body for _, body in cloud.bodies)
