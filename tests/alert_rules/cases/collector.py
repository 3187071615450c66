from __future__ import annotations

from collections.abc import Iterator

from tests.alert_rules.case import Active, Case, count_cases, level_cases, levels, series

UP = series("up", job="otelcol")
DOWN = Active("Prometheus has not reached otelcol for some minutes.", {"job": "otelcol"})
QUEUE = {"exporter": "otlp_http/prometheus", "data_type": "metrics"}


def losses(alert: str, metric: str, label: str, value: str, description: str) -> Iterator[Case]:
    """Yield the cases of a counter that is there for each signal, or appears with the first loss."""
    labels = {"job": "otelcol", label: value}
    for signal in ("spans", "metric_points", "log_records"):
        counter = series(metric.format(signal), job="otelcol", **{label: value})
        yield from count_cases(alert, counter, window=10, keep=10, labels=labels, description=description)
        yield Case(
            alert,
            "other",
            f"the counter of {signal} appears with the first loss",
            {counter: f"_x21 {levels((40, 1))}", series("up", job="otelcol"): levels((70, 1))},
            silent=(20, 41, 60),
            active={21: Active(description, labels), 40: Active(description, labels)},
        )
        yield Case(
            alert,
            "other",
            f"the counter of {signal} appears with the first delivery",
            {counter: f"_x21 {levels((40, 0))}", UP: levels((70, 1))},
            silent=(21, 40),
        )


CASES = [
    Case(
        "OtelcolDown",
        "fires",
        "it does not answer for 20 minutes",
        {UP: levels((10, 1), (20, 0), (20, 1))},
        silent=(9, 12, 33, 49),
        active={13: DOWN, 29: DOWN, 32: DOWN},
    ),
    Case(
        "OtelcolDown",
        "threshold",
        "one of two answers",
        {UP: "0x30", series("up", job="otelcol", instance="b"): "1x30"},
        (20,),
    ),
    Case(
        "OtelcolDown",
        "no data",
        "Prometheus does not know it any more",
        {UP: "1x9 stale"},
        silent=(9, 12),
        active={13: DOWN},
    ),
    *level_cases(
        "OtelcolQueueFilling",
        "otelcol_exporter_queue_size",
        limit=800,
        beyond=810,
        wait=5,
        job="otelcol",
        labels=QUEUE,
        others={series("otelcol_exporter_queue_capacity", job="otelcol", **QUEUE): levels((60, 1000))},
        description="The queue of otlp_http/prometheus is 81% full.",
    ),
    Case(
        "OtelcolQueueFilling",
        "other",
        "a queue without a capacity",
        {
            series("otelcol_exporter_queue_size", job="otelcol", **QUEUE): levels((60, 5)),
            series("otelcol_exporter_queue_capacity", job="otelcol", **QUEUE): levels((60, 0)),
        },
        silent=(50,),
    ),
    *losses(
        "OtelcolQueueFull",
        "otelcol_exporter_enqueue_failed_{}_total",
        "exporter",
        "otlp_http/prometheus",
        "The queue of otlp_http/prometheus has no room.",
    ),
    *losses(
        "OtelcolSendFailing",
        "otelcol_exporter_send_failed_{}_total",
        "exporter",
        "otlp_grpc/jaeger",
        "otlp_grpc/jaeger gave up sending data.",
    ),
    *losses("OtelcolRefusing", "otelcol_receiver_refused_{}_total", "receiver", "otlp", "otlp refuses data."),
    *level_cases(
        "OtelcolTracesDroppedEarly",
        "otelcol_processor_tail_sampling_sampling_traces_on_memory",
        limit=49_500,
        beyond=50_000,
        job="otelcol",
        description="otelcol holds 50000 traces, as many as it can.",
    ),
]
