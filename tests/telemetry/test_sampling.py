"""Totals depend neither on what is sampled nor on the headers of a request."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI
from opentelemetry import context, propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

import telemetry
from examples.screener.standin.client import StandIn
from telemetry._internal.guard import internal_errors
from telemetry.conventions import Attribute
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded, ask, calls_by_stage

UNSAMPLED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
SAMPLED = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
HOSTILE = {
    **UNSAMPLED,
    "tracestate": "analysis=evil",
    "baggage": "analysis.run.id=evil,analysis.stage=evil,analysis.id=7",
}


class Broken(Sampler):
    """A sampler of the host that raises."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        raise ValueError

    def get_description(self) -> str:
        return "Broken"


def work(recorded: Recorded, client: OpenAI, headers: dict[str, str]) -> dict[str, int]:
    """Make three calls in two stages within a context from `headers`; return the calls of each stage."""
    token = context.attach(propagate.extract(headers))
    try:
        with telemetry.run("intake"):
            with telemetry.stage("ranking"):
                ask(client)
            with recorded.tracer.start_as_current_span("plain", attributes={Attribute.STAGE: "insights"}):
                ask(client)
                ask(client)
    finally:
        context.detach(token)
    return calls_by_stage(recorded.run())


EXPECTED = {"ranking": 1, "insights": 2}
SAMPLERS = [ALWAYS_OFF, ALWAYS_ON, TraceIdRatioBased(0), ParentBased(ALWAYS_ON), ParentBased(ALWAYS_OFF)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.get_description())
@pytest.mark.parametrize(
    "headers", [{}, UNSAMPLED, SAMPLED, HOSTILE], ids=["none", "unsampled", "sampled", "hostile"]
)
def test_totals_do_not_depend_on_sampler_or_headers(
    record: Record, client: OpenAI, ledger: StandIn, sampler: Sampler, headers: dict[str, str]
) -> None:
    """Whatever they are, each call counts in its run and its stage."""
    recorded = record(TracerProvider(sampler=sampler, shutdown_on_exit=False))

    assert work(recorded, client, headers) == EXPECTED
    total = recorded.run().total
    used = [attempt["usage"] for attempt in ledger.ledger()["attempts"]]
    assert total.input_tokens == sum(usage["input_tokens"] for usage in used)
    assert total.output_tokens == sum(usage["output_tokens"] for usage in used)


@pytest.mark.parametrize("headers", [UNSAMPLED, SAMPLED])
def test_run_records_whether_its_trace_was_sampled(
    record: Record, client: OpenAI, headers: dict[str, str]
) -> None:
    """Its row holds the trace id, and whether that trace was exported."""
    recorded = record(TracerProvider(sampler=ParentBased(ALWAYS_ON), shutdown_on_exit=False))
    work(recorded, client, headers)
    root = recorded.run().root

    assert (root.trace_id, root.trace_sampled) == ("a" * 32, headers is SAMPLED)


@pytest.mark.parametrize(("sampler", "exported"), [(ALWAYS_OFF, False), (ALWAYS_ON, True)])
def test_dropped_spans_are_not_exported(
    record: Record, client: OpenAI, sampler: Sampler, exported: bool
) -> None:
    """Telemetry records them for the totals, but exporters do not see them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    work(record(provider), client, {})

    assert bool(exporter.get_finished_spans()) is exported


def test_tracers_made_before_set_up_are_covered(record: Record, client: OpenAI) -> None:
    """Spans of a tracer that is older than telemetry's set-up count too."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    early = provider.get_tracer("early")
    recorded = record(provider)
    with telemetry.run("intake"), early.start_as_current_span("x", attributes={Attribute.STAGE: "ranking"}):
        ask(client)

    assert calls_by_stage(recorded.run()) == {"ranking": 1}


@pytest.mark.internal_errors
def test_failing_sampler_changes_no_total(record: Record, client: OpenAI) -> None:
    """The error reaches neither the application nor the totals."""
    recorded = record(TracerProvider(sampler=Broken(), shutdown_on_exit=False))

    assert work(recorded, client, {}) == EXPECTED
    assert set(internal_errors()) == {"setup"}
