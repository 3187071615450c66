"""Rules about the OpenTelemetry Collector, by what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import has_risen, number

JOB: Final = "otelcol"
"""The label `job` under which Prometheus scrapes the Collector."""
_ours: Final = f'job="{JOB}"'
SIGNALS: Final = ("spans", "metric_points", "log_records")
WINDOW: Final = "10m"
MOST_TRACES: Final = 49_500
"""Of the 50,000 that the Collector holds at most (`num_traces`): some are leaving at any time."""
RISEN: Final = "an increase over ten minutes is no flicker."


def collector(settings: Settings) -> Group:
    """Return the rules about the Collector."""
    return Group("collector", 60, (_down(), _queue(settings), *_losses()))


def _down() -> Alert:
    return Alert(
        name="OtelcolDown",
        severity="critical",
        expression=f"max by (job) (up{{{_ours}}}) == 0\nor absent(up{{{_ours}}})",
        summary="The Collector is down, and no metrics or traces arrive.",
        description="Prometheus has not reached {{ $labels.job }} for some minutes.",
        dashboard=dashboards.TELEMETRY,
        service=JOB,
        for_seconds=180,
        # It silences the missing metrics, which come again with the next export of the application.
        keep_seconds=180,
    )


def _queue(settings: Settings) -> Alert:
    by = "job, exporter, data_type"
    return Alert(
        name="OtelcolQueueFilling",
        severity="warning",
        expression=(
            f"max by ({by}) (otelcol_exporter_queue_size{{{_ours}}})\n"
            f"/ (max by ({by}) (otelcol_exporter_queue_capacity{{{_ours}}}) > 0)"
            f" > {number(settings.collector_queue_share)}"
        ),
        summary="A queue of the Collector is nearly full.",
        description="The queue of {{ $labels.exporter }} is {{ $value | humanizePercentage }} full.",
        dashboard=dashboards.TELEMETRY,
        service=JOB,
        settings=("collector_queue_share",),
        for_seconds=300,
    )


def _losses() -> Iterator[Alert]:
    yield _loss(
        "OtelcolQueueFull",
        "otelcol_exporter_enqueue_failed_{}_total",
        "exporter",
        "A queue of the Collector is full, and data are lost.",
        "The queue of {{ $labels.exporter }} has no room.",
    )
    yield _loss(
        "OtelcolSendFailing",
        "otelcol_exporter_send_failed_{}_total",
        "exporter",
        "The Collector cannot deliver data, and drops them.",
        "{{ $labels.exporter }} gave up sending data.",
    )
    yield _loss(
        "OtelcolRefusing",
        "otelcol_receiver_refused_{}_total",
        "receiver",
        "The Collector refuses data: it has no memory or room for them, or cannot clean them.",
        "{{ $labels.receiver }} refuses data.",
    )
    # Not the counter of traces that were dropped too early: it counts those, too, that were kept at once.
    held = "otelcol_processor_tail_sampling_sampling_traces_on_memory"
    yield Alert(
        name="OtelcolTracesDroppedEarly",
        severity="warning",
        expression=f"max by (job) ({held}{{{_ours}}}) > {MOST_TRACES}",
        summary="The Collector forgets traces before they are decided.",
        description="{{ $labels.job }} holds {{ $value }} traces, as many as it can.",
        dashboard=dashboards.TELEMETRY,
        service=JOB,
        at_once="with each new trace it forgets another.",
    )


def _loss(name: str, metric: str, label: str, summary: str, description: str) -> Alert:
    """Return an alert about a counter that there is for spans, metrics and log records."""
    risen = (has_risen(metric.format(signal), _ours, WINDOW, label) for signal in SIGNALS)
    return Alert(
        name=name,
        severity="warning",
        expression="\nor ".join(risen),
        summary=summary,
        description=description,
        dashboard=dashboards.TELEMETRY,
        service=JOB,
        at_once=RISEN,
        keep_seconds=600,
    )
