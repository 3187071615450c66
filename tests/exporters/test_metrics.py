"""Metrics start at zero, equal the rollup at the end, and belong to one process."""

from __future__ import annotations

import contextvars
import gc
import multiprocessing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Status, StatusCode

import telemetry
from exporters.metrics.totals import LABEL_CAP, Totals
from exporters.process.pipeline import Pipeline
from exporters.rollup.merge import Rollup, merge
from exporters.rollup.snapshot import Snapshot
from telemetry import conventions as c
from telemetry.conventions import Attribute
from telemetry.settings import Settings
from telemetry.testing import recording

MODEL = "gpt-4o-mini"
RATE_LIMITED = {
    Attribute.ATTEMPT_STATUSES: ["429", "200"],
    Attribute.BACKOFF: 0.25,
    Attribute.RETRY_AFTER: 0.125,
    Attribute.CACHED_TOKENS: 40,
    Attribute.REMAINING_TOKENS: 0.75,
}


class Measured:
    """A pipeline without a database, and what a metric reader collects from it."""

    def __init__(self, pipeline: Pipeline, provider: TracerProvider, reader: InMemoryMetricReader) -> None:
        self.pipeline = pipeline
        self.provider = provider
        self.reader = reader
        self.ended: list[Snapshot] = []
        pipeline.on_end(self.ended.append)

    def points(self, metric: c.Metric) -> list[Any]:
        data = self.reader.get_metrics_data()
        metrics = [
            collected
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for collected in scope.metrics
            if collected.name == metric.name
        ]
        return [point for collected in metrics for point in collected.data.data_points]

    def values(self, metric: c.Metric, **labels: str) -> dict[tuple[str, ...], float]:
        """Return the values with these labels, by the other labels in their order."""
        others = [name for name in metric.labels if name not in labels]
        return {
            tuple(point.attributes[name] for name in others): point.value
            for point in self.points(metric)
            if labels.items() <= dict(point.attributes).items()
        }

    def total(self, metric: c.Metric, **labels: str) -> float:
        return sum(self.values(metric, **labels).values())

    def rollup(self) -> Rollup:
        return merge(self.ended)

    def call(self, attributes: Mapping[str, Any] = MappingProxyType({}), *, error: str | None = None) -> None:
        """Record a call as the OpenAI instrumentation does."""
        span = self.provider.get_tracer(c.GENAI_SCOPE).start_span(
            "chat",
            kind=SpanKind.CLIENT,
            attributes={
                Attribute.OPERATION: "chat",
                Attribute.PROVIDER: "openai",
                Attribute.REQUEST_MODEL: MODEL,
            },
        )
        recorded: dict[str, Any] = {
            Attribute.ATTEMPT_STATUSES: ["200"],
            Attribute.INPUT_TOKENS: 100,
            Attribute.OUTPUT_TOKENS: 10,
        }
        if error:
            recorded = {Attribute.ATTEMPT_STATUSES: ["500", "500"], Attribute.ERROR_TYPE: error}
            span.set_status(Status(StatusCode.ERROR))
        span.set_attributes({**recorded, **attributes})
        span.end()


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


@pytest.fixture
def measured(reader: InMemoryMetricReader, provider: TracerProvider, tmp_path: Path) -> Iterator[Measured]:
    meters = MeterProvider([reader], shutdown_on_exit=False)
    settings = Settings(spool_dir=tmp_path)
    with recording(settings, provider, meter_provider=meters) as pipeline:
        yield Measured(pipeline, provider, reader)
    meters.shutdown()


def test_closed_label_sets_are_at_zero_from_the_start(measured: Measured) -> None:
    """Every counter with a closed set of labels shows zero for all of them before anything happens."""
    kinds, sizes = ("analysis", "intake", "late", "other"), c.BATCH_SIZES
    assert measured.values(c.RUNS) == {
        (kind, status, size): 0 for kind in kinds for status in c.TERMINAL_STATUSES for size in sizes
    }
    assert measured.values(c.RUNS_ACTIVE) == {(kind,): 0 for kind in kinds}
    assert set(measured.values(c.DOCUMENTS)) == {
        (kind, outcome) for kind in (*c.DOCUMENT_TYPES, "other") for outcome in c.DOCUMENT_OUTCOMES
    }
    assert measured.values(c.OPENAI_UNACCOUNTED) == {(reason,): 0 for reason in c.UNACCOUNTED_REASONS}
    assert measured.values(c.EVENTS) == {(name,): 0 for name in (*c.DEFAULT_COUNTERS, "other")}
    assert measured.values(c.INTERNAL_ERRORS) == {(name,): 0 for name in c.COMPONENTS}
    assert measured.values(c.WRITER_FAILURES) == {(name,): 0 for name in c.TRANSACTIONS}
    for metric in (c.OPENAI_ATTEMPTS, c.OPENAI_BACKOFF):
        assert {labels[0] for labels in measured.values(metric)} == set(c.STAGES)
        assert measured.total(metric) == 0
    for metric in (c.SPOOL_PENDING, c.SPOOL_DEAD, c.SPOOL_OLDEST):
        assert measured.values(metric) == {(): 0}


def test_points_have_exactly_the_declared_labels(measured: Measured) -> None:
    """No label is a user, a run or a file."""
    work(measured)
    for metric in c.METRICS:
        for point in measured.points(metric):
            assert set(point.attributes) == set(metric.labels), metric.name
            assert not {str(measured.ended[0].run_id), "cv.pdf", "7"} & set(point.attributes.values())


def work(measured: Measured) -> None:
    """Run an analysis with successes, failures, retries and an unknown model."""
    with telemetry.run("analysis", user_id=7, candidates=60):
        with telemetry.stage("ranking"):
            for score in (0.9, 0.6, 0.1):
                with telemetry.document(f"{score} cv.pdf", size=1000, characters=500, type="pdf") as document:
                    measured.call(RATE_LIMITED)
                    document.score(score)
            with telemetry.document("d.exe", size=10, type="exe") as document:
                document.fail("Unreadable")
        with telemetry.stage("insights"):
            measured.call(error="openai.InternalServerError")
            measured.call({Attribute.RESPONSE_MODEL: "nobody-knows"})
            measured.call({Attribute.ATTEMPT_STATUSES: ["200", "418"], Attribute.SERVICE_TIER: "default"})
        telemetry.count("app_retries", 2)


def test_failed_calls_are_counted_from_zero(measured: Measured) -> None:
    """Prometheus would not see the first of them as an increase, if their counter began with it."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        measured.call()

    assert measured.values(c.OPENAI_OPERATIONS, outcome="error", stage="ranking") == {
        ("chat", "gpt-4o-mini"): 0
    }


def test_counters_equal_the_rollup(measured: Measured) -> None:
    """The metrics of a run show the figures that its row will have."""
    work(measured)
    run = measured.rollup()
    total = run.total

    assert measured.values(c.RUNS, kind="analysis", batch_size="medium", status=run.status) == {(): 1}
    assert measured.total(c.RUNS) == 1
    assert measured.total(c.OPENAI_OPERATIONS) == total.calls == 6
    assert measured.total(c.OPENAI_OPERATIONS, outcome="error") == total.errors == 1
    assert measured.total(c.OPENAI_ATTEMPTS) == total.attempts == 11
    assert measured.total(c.OPENAI_ATTEMPTS, status="429") == total.rate_limit_hits == 3
    assert measured.total(c.OPENAI_ATTEMPTS, status="other") == 1
    assert measured.total(c.OPENAI_BACKOFF) == pytest.approx(total.backoff_us / 1e6) == pytest.approx(0.75)
    assert measured.total(c.OPENAI_RETRY_AFTER) == total.retry_after_us / 1e6 == 0.375
    assert measured.total(c.OPENAI_RETRIES, reason="rate_limit") == total.rate_limit_retries == 3
    assert measured.total(c.OPENAI_RETRIES, reason="other") == total.other_retries == 2
    assert measured.total(c.OPENAI_COST) == pytest.approx(total.cost_pico / 1e12)
    assert total.cost_pico == 3 * (60 * 150_000 + 40 * 75_000 + 10 * 600_000) + (100 * 150_000 + 10 * 600_000)
    for kind in c.TOKEN_KINDS:
        assert measured.total(c.OPENAI_TOKENS, kind=kind) == getattr(total, f"{kind}_tokens")
    assert measured.total(c.OPENAI_UNACCOUNTED, reason="unpriced") == total.unpriced == 1
    assert measured.total(c.DOCUMENTS, outcome="scored", type="pdf") == run.scores.count == 3
    assert measured.total(c.DOCUMENTS, outcome="failed", type="other") == run.failed_documents == 1
    assert measured.values(c.ERRORS) == {key: float(count) for key, count in run.errors.items()}
    assert measured.values(c.EVENTS, name="app_retries") == {(): 2}
    assert measured.values(c.OPENAI_HEADROOM) == {(MODEL, "tokens"): 0.75}


def test_costs_are_labelled_by_stage_and_model(measured: Measured) -> None:
    """The cost by stage and model is that of the rollup."""
    work(measured)
    expected: dict[tuple[str, str], float] = {}
    for key, usage in measured.rollup().usage.items():
        if usage.cost_pico:
            place = (key.stage, key.model)
            expected[place] = expected.get(place, 0) + usage.cost_pico / 1e12

    assert measured.values(c.OPENAI_COST) == pytest.approx(expected)


def test_histograms_hold_the_run(measured: Measured) -> None:
    """Durations, sizes, lengths and scores are in their histograms, in the declared buckets."""
    work(measured)
    assert {point.attributes["stage"]: point.count for point in measured.points(c.STAGE_DURATION)} == {
        "ranking": 1,
        "insights": 1,
    }
    (scores,) = measured.points(c.CANDIDATE_SCORE)
    assert (scores.count, scores.sum) == (3, pytest.approx(1.6))
    assert scores.explicit_bounds == c.CANDIDATE_SCORE.buckets
    sizes = {point.attributes["type"]: (point.count, point.sum) for point in measured.points(c.DOCUMENT_SIZE)}
    assert sizes == {"pdf": (3, 3000), "other": (1, 10)}
    (duration,) = measured.points(c.RUN_DURATION)
    assert duration.sum == pytest.approx((measured.rollup().duration_us or 0) / 1e6)


def test_active_runs_are_counted_until_they_end(measured: Measured) -> None:
    """A run is active from its start to its end, however it ends."""
    run = telemetry.start_run("intake")
    assert measured.values(c.RUNS_ACTIVE, kind="intake") == {(): 1}
    run.fail()
    assert measured.values(c.RUNS_ACTIVE, kind="intake") == {(): 0}
    assert measured.total(c.RUNS, kind="intake", status="failed") == 1


def test_a_resumed_run_is_counted_once(measured: Measured) -> None:
    """Only the fragment that began the run counts it."""
    run = telemetry.start_run("intake")
    carrier = run.carrier()
    with telemetry.resume(carrier):
        pass
    assert measured.total(c.RUNS) == 0
    run.finish()
    assert measured.total(c.RUNS) == 1


def exemplars(measured: Measured, metric: c.Metric) -> set[int]:
    return {exemplar.span_id for point in measured.points(metric) for exemplar in point.exemplars}


@pytest.mark.parametrize(("metric", "name"), [(c.STAGE_DURATION, "ranking"), (c.RUN_DURATION, "analysis")])
def test_exemplars_lead_to_the_span(measured: Measured, metric: c.Metric, name: str) -> None:
    """The duration of a stage has the stage's span as exemplar, that of a run the run's span."""
    exported = InMemorySpanExporter()
    measured.provider.add_span_processor(SimpleSpanProcessor(exported))
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
        pass
    ids = {span.name: span.context.span_id for span in exported.get_finished_spans() if span.context}

    assert exemplars(measured, metric) == {ids[name]}


@pytest.mark.parametrize("provider", [TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)])
def test_a_trace_that_is_not_sampled_is_no_exemplar(measured: Measured) -> None:
    """Its run is counted all the same."""
    work(measured)

    assert exemplars(measured, c.STAGE_DURATION) == set()
    assert measured.total(c.RUNS) == 1


def test_a_run_whose_handle_was_dropped_is_counted(measured: Measured) -> None:
    """It is no longer active, and counts as interrupted."""
    contextvars.copy_context().run(telemetry.start_run, "analysis", candidates=1)
    gc.collect()
    measured.pipeline.recorder.fragments.changed()

    assert measured.values(c.RUNS_ACTIVE)[("analysis",)] == 0
    assert measured.total(c.RUNS, kind="analysis", status="interrupted") == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_starts_at_zero(measured: Measured) -> None:
    """A child counts only what it did itself, so that the sum over processes is right."""
    work(measured)

    def child() -> None:
        for metric in (c.RUNS, c.OPENAI_ATTEMPTS, c.OPENAI_TOKENS, c.OPENAI_COST, c.EVENTS, c.DOCUMENTS):
            assert {value for _, value in measured.pipeline.metrics.totals.read(metric)} == {0}, metric.name
        with telemetry.run("intake"):
            telemetry.count("app_retries")
        totals = measured.pipeline.metrics.totals
        assert sum(value for _, value in totals.read(c.RUNS)) == 1
        assert sum(value for _, value in totals.read(c.EVENTS)) == 1

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)

    assert process.exitcode == 0
    assert measured.total(c.EVENTS) == 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_histograms_of_its_own(measured: Measured) -> None:
    """The child's histograms lack the parent's values, and record its own."""
    work(measured)
    before = counted(measured, c.RUN_DURATION)

    def child() -> None:
        assert counted(measured, c.RUN_DURATION) == 0
        with telemetry.run("intake"):
            pass
        assert counted(measured, c.RUN_DURATION) == 1

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(30)

    assert process.exitcode == 0
    assert counted(measured, c.RUN_DURATION) == before > 0


def counted(measured: Measured, metric: c.Metric) -> int:
    return sum(point.count for point in measured.points(metric))


def test_values_of_open_labels_are_capped() -> None:
    """However many stages a host invents, a label has a bounded number of values; nothing is lost."""
    totals = Totals()
    for number in range(LABEL_CAP * 2):
        totals.add(c.OPENAI_BACKOFF, 1, stage=f"stage {number}")
    read = {labels["stage"]: value for labels, value in totals.read(c.OPENAI_BACKOFF)}

    assert len(read) == LABEL_CAP + 1
    assert (read["other"], sum(read.values())) == (LABEL_CAP, LABEL_CAP * 2)
    assert totals.capped(c.OPENAI_BACKOFF, stage="yet another") == {"stage": "other"}
