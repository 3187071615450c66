"""The whole system with Collector, Prometheus and Jaeger, all as operators are told to run them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.screener.standin.client import StandIn
from telemetry import conventions as c
from tests.collector.running import SHIPPED, RunningCollector
from tests.end_to_end.stack import Stack
from tests.jaeger import Jaeger
from tests.postgres import free_port
from tests.prometheus import CLOSED, SHOWS_TYPES, Prometheus, receiving
from tests.waiting import until

SERVICE = "screener"
PROMOTED = {
    "service_name": SERVICE,
    "service_version": "1.2.3",
    "deployment_environment_name": "staging",
}
"""The labels that come from attributes of the process."""
SETTINGS = {
    "OTEL_SERVICE_NAME": SERVICE,
    "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.2.3,deployment.environment.name=staging",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "TELEMETRY_GAUGES_SECONDS": "1",
}


@dataclass(frozen=True)
class Observed:
    """A screener, and what observes it."""

    stack: Stack
    prometheus: Prometheus
    jaeger: Jaeger
    collector: RunningCollector

    def total(self, expression: str) -> float:
        """Return the sum of all samples of an expression."""
        return sum(float(sample["value"][1]) for sample in self.prometheus.query(expression))

    def counted(self, name: str, **labels: str) -> float:
        """Return the sum of a counter over all processes, also over those that have ended."""
        return self.total(f"sum(last_over_time({_selector(name, labels)}[1h]))")

    def risen(self, name: str, **labels: str) -> float:
        """Return by how much a counter has risen over all processes, as rules and panels ask."""
        return self.total(f"sum(increase({_selector(name, labels)}[1h] anchored))")

    def series(self, name: str = "") -> list[dict[str, str]]:
        """Return the labels of all series of the screener, or of those of one name, without recordings."""
        found: list[dict[str, str]] = self.prometheus.get("series", **{"match[]": _selector(name, {})})
        return [one for one in found if "instance" in one]

    def wait_for_processes(self, number: int) -> None:
        """Wait until so many processes have exported for the first time, so that all increases are seen."""
        name = c.INTERNAL_ERRORS.prometheus_name
        until(lambda: len({one["instance"] for one in self.series(name)}) == number, what="all processes")

    def exemplars(self, name: str, **labels: str) -> set[str]:
        """Return the trace ids of the exemplars of a histogram."""
        query = _selector(f"{name}_bucket", labels)
        found: list[Any] = self.prometheus.get("query_exemplars", query=query, start="0", end="9999999999")
        return {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}


@contextmanager
def observed(
    folder: Path,
    database_url: str,
    standin: StandIn,
    *flags: str,
    alertmanager: str = CLOSED,
    own_rules: str = "",
    **settings: str,
) -> Iterator[Observed]:
    """Start everything but the screener's own processes, and stop everything afterwards.

    Args:
        folder: where everything is written.
        database_url: the host's database, with its tables.
        standin: the service that the screener calls.
        flags: further flags of Prometheus.
        alertmanager: the address of the Alertmanager that Prometheus notifies.
        own_rules: the path of a file of rules beside those that operators get.
        settings: further environment variables of the screener's processes.
    """
    metrics_port = free_port()
    addresses = {"collector": f"127.0.0.1:{metrics_port}", "alertmanager": alertmanager}
    with (
        receiving(SHOWS_TYPES, *flags, **addresses, own_rules=own_rules) as prometheus,
        Jaeger() as jaeger,
        RunningCollector(
            folder,
            *SHIPPED,
            COLLECTOR_METRICS_PORT=str(metrics_port),
            COLLECTOR_PROMETHEUS=prometheus.url,
            COLLECTOR_JAEGER=jaeger.place,
            COLLECTOR_OTHERS_PERCENT="100",
        ) as collector,
        Stack(
            folder,
            database_url,
            standin,
            **{**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **settings},
        ) as stack,
    ):
        yield Observed(stack, prometheus, jaeger, collector)


def _selector(name: str, labels: Mapping[str, str]) -> str:
    matchers = [f'{label}="{value}"' for label, value in {"job": SERVICE, **labels}.items()]
    return f"{name}{{{', '.join(matchers)}}}"
