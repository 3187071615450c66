"""Every metric of the catalogue, by OTLP through the Collector, in a real Prometheus."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from telemetry import conventions as c
from tests.collector.running import BASE, RunningCollector
from tests.every_metric import described, give_values
from tests.prometheus import SHOWS_TYPES, Prometheus, receiving
from tests.waiting import until

EXPECTED = {one for metric in c.METRICS for one in described(metric)}


def test_name_type_and_unit(tmp_path: Path) -> None:
    """They are those of the catalogue, also of metrics that are hard to provoke."""
    with receiving(SHOWS_TYPES) as prometheus:
        settings = {"COLLECTOR_PROMETHEUS": prometheus.url}
        with RunningCollector(tmp_path, *BASE, "prometheus.yaml", **settings) as collector:
            reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{collector.url}/v1/metrics"))
            provider = MeterProvider([reader], Resource.create({"service.name": "screener"}))
            give_values(provider)
            provider.shutdown()
            until(lambda: _arrived(prometheus) >= EXPECTED, what="every metric")
            assert _arrived(prometheus) == EXPECTED


def _arrived(prometheus: Prometheus) -> set[tuple[str, str, str]]:
    return {
        (one["__name__"], one.get("__type__", ""), one.get("__unit__", ""))
        for one in prometheus.get("series", **{"match[]": '{job="screener"}'})
        if one["__name__"] != "target_info"
    }
