"""A process in which every metric of the catalogue has a value."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.sdk.metrics import MeterProvider

from exporters.metrics.instruments import Metrics
from telemetry import conventions as c
from telemetry.settings import Settings

UNITS = {"s": "seconds", "By": "bytes"}
"""Units by what Prometheus calls them; others it does not know."""


def give_values(provider: MeterProvider) -> None:
    """Register all metrics, and give each a value."""
    metrics = Metrics(Settings())
    metrics.register(provider)
    for metric in c.METRICS:
        if not metric.labels and metric.instrument != "histogram":
            metrics.gauge(metric, lambda: 1.0)
            continue
        for labels in _labels(metric):
            if metric.instrument == "histogram":
                metrics.observe(metric, 1, None, **labels)
            else:
                metrics.totals.add(metric, 1, **labels)


def _labels(metric: c.Metric) -> Iterator[dict[str, str]]:
    """Yield labels in which each value of each label occurs."""
    values = {name: metric.label(name).values or ("some",) for name in metric.labels}
    for place in range(max(map(len, values.values()), default=1)):
        yield {name: known[place % len(known)] for name, known in values.items()}


def described(metric: c.Metric) -> set[tuple[str, str, str]]:
    """Return name, type and unit of its series in Prometheus, as the catalogue has them."""
    ends = ("_bucket", "_sum", "_count") if metric.instrument == "histogram" else ("",)
    unit = UNITS.get(metric.unit, "")
    return {(metric.prometheus_name + end, metric.instrument, unit) for end in ends}
