"""The programs around the application: what Prometheus reaches of them, and what the Collector says."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.alerts.collector import JOB as COLLECTOR
from exporters.alert_rules.alerts.collector import SIGNALS
from exporters.alert_rules.alerts.platform import ALERTMANAGER, POSTGRES, PROMETHEUS
from exporters.assets.host_values import HostValue
from grafana.parts.panels import COUNT, SHARE, About, Owner
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics

from .colors import in_reds

NO_COLLECTOR: Final = "Prometheus does not scrape a Collector."
OURS: Final = f'job="{COLLECTOR}"'
AROUND: Final = "|".join((COLLECTOR, POSTGRES, ALERTMANAGER, PROMETHEUS))
"""The programs that the alerts watch, as a pattern."""


def queue() -> Panel:
    """Return how full the queues of the Collector are."""
    size, capacity = (f"otelcol_exporter_queue_{name}{{{OURS}}}" for name in ("size", "capacity"))
    return course(
        _about("Queue of the Collector", "Can the Collector deliver? At 1 it loses data.", NO_COLLECTOR),
        [Metrics(f"max by (exporter) ({size} / ({capacity} > 0))", "{{exporter}}")],
        unit=SHARE,
        limits={0: "text", HostValue("collector_queue_share"): "red"},
    )


def refused() -> Panel:
    """Return what the Collector refuses and loses."""
    kinds = {
        "refused": "otelcol_receiver_refused_{}_total",
        "not sent": "otelcol_exporter_send_failed_{}_total",
        "not queued": "otelcol_exporter_enqueue_failed_{}_total",
    }
    failed = [
        Metrics(f"60 * sum(rate({name.format(signal)}{{{OURS}}}[$__rate_interval]))", f"{signal}: {what}")
        for what, name in kinds.items()
        for signal in SIGNALS
    ]
    about = _about(
        "Refused and failed in the Collector", "Does it lose spans, metrics or log records?", NO_COLLECTOR
    )
    return in_reds(course(about, failed, unit="cpm"))


def scraped() -> Panel:
    """Return which programs Prometheus reaches."""
    return course(
        _about(
            "Scraped programs",
            "Does Prometheus reach the Collector, PostgreSQL, Alertmanager and itself, and the application if it "
            "scrapes that? 1 is reached, 0 is not.",
            "Prometheus scrapes none of them.",
        ),
        # As the alerts do: a program is reached if one instance of it is.
        [Metrics(f'max by (job) (up{{job="{APPLICATION.job}"}} or up{{job=~"{AROUND}"}})', "{{job}}")],
        unit=COUNT,
        limits={0: "red", 1: "text"},
    )


def _about(title: str, question: str, empty: str) -> About:
    return About(title=title, question=question, empty=empty, owner=Owner.ON_CALL)
