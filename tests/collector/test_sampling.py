"""Which traces are kept: errors, slow and rate-limited analyses, whatever the rest is sampled to."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from telemetry.conventions import FAILED, Attribute
from tests.collector.messages import counter, pairs, span, traces
from tests.collector.receiver import Receiver
from tests.collector.running import BASE, PATIENCE, RunningCollector
from tests.waiting import until

ORDINARY = 40


@pytest.fixture(scope="module")
def backend() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def collector(backend: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """A Collector that drops every trace there is no reason to keep."""
    settings = {"VENDOR_ENDPOINT": backend.url, "VENDOR_API_KEY": "key", "COLLECTOR_OTHERS_PERCENT": "0"}
    folder = tmp_path_factory.mktemp("collector")
    with RunningCollector(folder, *BASE, "examples/vendor-otlp.yaml", **settings) as running:
        yield running


def _with(one: Span, **attributes: object) -> Span:
    one.attributes.extend(pairs(attributes))
    return one


def slow_request() -> Span:
    one = span("POST /analyses", seconds=3)
    one.kind = Span.SPAN_KIND_SERVER
    return one


REASONS: dict[str, Callable[[], Span]] = {
    "an error": lambda: span(is_error=True),
    "a failed run": lambda: _with(span(), **{Attribute.RUN_STATUS: FAILED}),
    "a slow analysis": lambda: span(seconds=301),
    "a slow request": slow_request,
    "a rate limit": lambda: _with(span("chat gpt-4o"), **{Attribute.RATE_LIMIT_HITS: 1}),
    "a retry": lambda: _with(span("chat gpt-4o"), **{Attribute.OTHER_RETRIES: 2}),
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_keeps_the_whole_trace(collector: RunningCollector, backend: Receiver, reason: str) -> None:
    """What came before the span that is the reason is kept, the root too, and what comes after it."""
    cause, before = REASONS[reason](), span("GET /analyses")
    cause.trace_id, cause.parent_span_id = before.trace_id, before.span_id
    after = span(trace=before.trace_id, parent=before.span_id)

    for one in (before, cause, after):
        collector.send("traces", traces(one))

    ids = {one.span_id for one in (before, cause, after)}
    until(lambda: ids <= {one.span_id for one in backend.spans()}, PATIENCE, what=f"the trace with {reason}")


def test_a_late_reason(backend: Receiver, tmp_path: Path) -> None:
    """A reason that comes when its trace is already forgotten keeps what comes from then on."""
    settings = {"VENDOR_ENDPOINT": backend.url, "VENDOR_API_KEY": "key", "COLLECTOR_OTHERS_PERCENT": "0"}
    layers = (*BASE, "examples/vendor-otlp.yaml")
    first = span("analysis")
    late, last = (
        span(trace=first.trace_id, parent=first.span_id, is_error=is_error) for is_error in (True, False)
    )
    with RunningCollector(tmp_path, *layers, **settings, COLLECTOR_LONGEST_TRACE="1s") as collector:
        collector.send("traces", traces(first))
        forgotten = (
            'tail_sampling_global_count_traces_sampled_total{decision="not_sampled",sampled="false"} 1'
        )
        until(lambda: forgotten in collector.metrics(), PATIENCE, what="the decision")
        collector.send("traces", traces(late))
        collector.send("traces", traces(last))
        until(
            lambda: {late.span_id, last.span_id} <= {one.span_id for one in backend.spans()},
            PATIENCE,
            what="the rest",
        )

    assert first.span_id not in {one.span_id for one in backend.spans()}


def test_ordinary_traces_are_dropped_but_measured(collector: RunningCollector, backend: Receiver) -> None:
    """At 0 % no ordinary trace arrives, while rate and duration are those of all spans, with exemplars."""
    ordinary = [
        _with(
            span("embed", seconds=0.2),
            **{Attribute.STAGE: "embedding", Attribute.RUN_ID: secrets.token_hex(16)},
        )
        for _ in range(ORDINARY)
    ]
    for one in ordinary:
        collector.send("traces", traces(one))
    kept = span("embed", is_error=True)
    collector.send("traces", traces(kept))
    until(
        lambda: kept.span_id in {one.span_id for one in backend.spans()},
        PATIENCE,
        what="the trace with an error",
    )
    until(lambda: _counted(backend) == ORDINARY, PATIENCE, what="metrics of all spans")

    assert not {one.span_id for one in ordinary} & {one.span_id for one in backend.spans()}
    durations = [metric for metric in backend.metrics() if metric.name == "traces.span.metrics.duration"]
    assert {metric.unit for metric in durations} == {"s"}
    exemplars = {
        exemplar.trace_id
        for metric in durations
        for point in metric.histogram.data_points
        for exemplar in point.exemplars
    }
    assert exemplars & {one.trace_id for one in ordinary}
    assert b"analysis.run.id" not in b"".join(body for path, body in backend.bodies if path == "/v1/metrics")


def test_metrics_pass_whole(collector: RunningCollector, backend: Receiver) -> None:
    """The Collector neither samples nor renames what applications measure."""
    collector.send("metrics", counter("analysis.runs", 7, kind="analysis"))

    until(
        lambda: any(metric.name == "analysis.runs" for metric in backend.metrics()),
        PATIENCE,
        what="the counter",
    )


def _counted(backend: Receiver) -> int:
    """Return the number of spans of the stage, by the newest value of the connector's counter."""
    newest = 0
    for metric in backend.metrics():
        if metric.name == "traces.span.metrics.calls":
            for point in metric.sum.data_points:
                labels = {pair.key: pair.value.string_value for pair in point.attributes}
                if labels.get(Attribute.STAGE) == "embedding":
                    newest = point.as_int
    return newest
