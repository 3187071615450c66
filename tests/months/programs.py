"""The metrics of the programs around the application, as they are scraped."""

from __future__ import annotations

from typing import Final

from .course import Course, notation
from .scene import BEGIN

ADDRESSES: Final = {
    "otelcol": "127.0.0.1:8888",
    "prometheus": "127.0.0.1:9090",
    "alertmanager": "127.0.0.1:9093",
    "postgres": "127.0.0.1:9187",
}
EXPORTERS: Final = {"otlp_http/prometheus": "metrics", "otlp_http/jaeger": "traces"}
SIGNALS: Final = {"metrics": "metric_points", "traces": "spans"}
HELD: Final = "otelcol_processor_tail_sampling_sampling_traces_on_memory"


def named(name: str, job: str, **labels: str) -> str:
    """Return the notation of a series of a program."""
    return notation(name, {"job": job, "instance": ADDRESSES[job], **labels})


def up(job: str) -> str:
    """Return the notation of whether a program was reached."""
    return named("up", job)


def queue(exporter: str) -> str:
    """Return the notation of the length of a queue of the Collector."""
    return named("otelcol_exporter_queue_size", "otelcol", exporter=exporter, data_type=EXPORTERS[exporter])


def lost(what: str, exporter: str) -> str:
    """Return the notation of a counter of what an exporter of the Collector did not deliver."""
    signal = SIGNALS[EXPORTERS[exporter]]
    return named(f"otelcol_exporter_{what}_{signal}_total", "otelcol", exporter=exporter)


def healthy() -> dict[str, Course]:
    """Return the metrics of programs with which nothing is wrong, by their notation."""
    values: dict[str, float] = {up(job): 1 for job in ADDRESSES}
    for exporter in EXPORTERS:
        labels = {"exporter": exporter, "data_type": EXPORTERS[exporter]}
        values[queue(exporter)] = 0
        values[named("otelcol_exporter_queue_capacity", "otelcol", **labels)] = 1000
        values[lost("send_failed", exporter)] = values[lost("enqueue_failed", exporter)] = 0
    for signal in SIGNALS.values():
        values[named(f"otelcol_receiver_refused_{signal}_total", "otelcol", receiver="otlp")] = 0
    values[named(HELD, "otelcol")] = 400
    values[named("pg_up", "postgres")] = 1
    for job in ("prometheus", "alertmanager"):
        values[named(f"{job}_config_last_reload_successful", job)] = 1
    values[named("prometheus_notifications_alertmanagers_discovered", "prometheus")] = 1
    for group in ("money", "jobs", "failures"):
        labels = {"rule_group": f"rules/{group}.yml;{group}"}
        values[named("prometheus_rule_evaluation_failures_total", "prometheus", **labels)] = 0
    receiver = {"alertmanager": "http://127.0.0.1:9093/api/v2/alerts"}
    values[named("prometheus_notifications_errors_total", "prometheus", **receiver)] = 0
    for integration in ("webhook", "email", "slack"):
        labels = {"integration": integration, "reason": "other"}
        values[named("alertmanager_notifications_failed_total", "alertmanager", **labels)] = 0
    return {name: Course({BEGIN: value}) for name, value in values.items()}
