"""Totals depend neither on what spans hold nor on whether there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from openai import OpenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider

import telemetry
from examples.screener.standin.client import StandIn
from exporters.rollup.merge import Rollup
from telemetry.openai import calls as attempts
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded, calls_by_stage, stages

CHAT_MODEL, EMBEDDING_MODEL = "gpt-4o-mini", "text-embedding-3-small"
BODY: dict[str, Any] = {"model": CHAT_MODEL, "messages": [{"role": "user", "content": "Hello"}]}
MANY: dict[str, Any] = {"temperature": 0, "top_p": 1, "max_tokens": 10, "seed": 1, "stop": ["x"], "n": 1}


@dataclass(frozen=True)
class Case:
    """One way in which spans are cut, dropped or never made."""

    name: str
    limits: SpanLimits | None = None
    change: Callable[[Recorded], object] = lambda recorded: None
    """Changes the provider or the instrumentation after set-up."""
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    """Wraps the work of the application."""


def sample_nothing(recorded: Recorded) -> None:
    """Replace our sampler, as a host that configures sampling late does."""
    recorded.provider.sampler = ALWAYS_OFF
    for tracer in recorded.provider._tracers.values():
        tracer.sampler = ALWAYS_OFF


def instrument_elsewhere(recorded: Recorded) -> None:
    """Give the official instrumentation a provider that telemetry is not attached to."""
    OpenAIInstrumentor().uninstrument()
    OpenAIInstrumentor().instrument(tracer_provider=TracerProvider(shutdown_on_exit=False))
    attempts.instrument(TracerProvider(shutdown_on_exit=False))


def without_official_instrumentation(recorded: Recorded) -> None:
    """Remove the official instrumentation, and our own spans."""
    OpenAIInstrumentor().uninstrument()
    attempts.instrument(NoOpTracerProvider())


CASES = (
    Case("as usual"),
    *(Case(f"at most {n} attributes", SpanLimits(max_span_attributes=n)) for n in (0, 1, 7, 8, 12, 16)),
    *(Case(f"at most {n} characters", SpanLimits(max_attribute_length=n)) for n in (0, 1, 6, 10, 16)),
    Case("nothing sampled", change=sample_nothing),
    Case("official spans elsewhere", change=instrument_elsewhere),
    Case("no official spans", change=without_official_instrumentation),
    Case("instrumentation suppressed", around=suppress_instrumentation),
)


def work(client: OpenAI) -> None:
    """Make four calls in two stages, one of which is retried and one is a stream."""
    with telemetry.run("intake"):
        with telemetry.stage("ranking"):
            client.chat.completions.create(**BODY, **MANY, service_tier="priority")
            client.embeddings.create(model=EMBEDDING_MODEL, input="Hello")
        with telemetry.stage("insights"):
            options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
            list(client.chat.completions.create(**BODY, **options))
            client.post("/chat/completions", cast_to=dict[str, object], body=BODY)


def assert_all_is_counted(run: Rollup, standin: StandIn) -> None:
    """Compare a run with the stand-in's ledger."""
    attempts_made = standin.ledger()["attempts"]
    used = [attempt["usage"] for attempt in attempts_made if attempt["usage"]]
    total = run.total

    assert calls_by_stage(run) == {"ranking": 2, "insights": 2}
    assert {"ranking", "insights"} <= stages(run)
    assert (total.calls, total.attempts, total.rate_limit_hits, total.errors) == (4, len(attempts_made), 1, 0)
    assert len(used) == 4
    assert total.input_tokens == sum(usage["input_tokens"] for usage in used)
    assert total.output_tokens == sum(usage["output_tokens"] for usage in used)
    assert (total.unpriced, total.usage_missing, run.unfinished) == (0, 0, 0)
    assert run.cost_complete and total.cost_pico > 0
    asked = {(key.operation, key.service_tier) for key in run.usage if key.operation}
    assert asked == {("chat", "priority"), ("chat", "default"), ("embeddings", "")}
    answered = {attempt["response_model"] for attempt in attempts_made if attempt["usage"]}
    assert {key.model for key in run.usage if key.operation} == answered


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_call_and_stage_counts(case: Case, record: Record, client: OpenAI, ledger: StandIn) -> None:
    """Calls, attempts, tokens, models, tiers, cost and stages are the same whatever happens to spans."""
    ledger.faults([{"status": 429, "first_total": 1, "retry_after_ms": 1}])
    limits = case.limits or SpanLimits()
    recorded = record(TracerProvider(shutdown_on_exit=False, span_limits=limits))
    case.change(recorded)
    with case.around():
        work(client)

    assert_all_is_counted(recorded.run(), ledger)


@contextmanager
def disabled_sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    """Yield the provider of a process in which OTEL_SDK_DISABLED is true: it makes no-op spans."""
    with monkeypatch.context() as patch:
        patch.setenv("OTEL_SDK_DISABLED", "true")
        yield TracerProvider(shutdown_on_exit=False)


def test_a_disabled_sdk_changes_no_total(
    record: Record, client: OpenAI, ledger: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SDK_DISABLED switches off traces, but calls still count."""
    ledger.faults([{"status": 429, "first_total": 1, "retry_after_ms": 1}])
    with disabled_sdk(monkeypatch) as provider:
        recorded = record(provider)
    assert not recorded.tracer.start_span("any").is_recording()
    work(client)

    assert_all_is_counted(recorded.run(), ledger)


def test_errors_do_not_depend_on_spans(
    record: Record, client: OpenAI, ledger: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed call counts as an error even where no span holds the error's type."""
    ledger.faults([{"status": 400}])
    recorded = record(TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_span_attributes=0)))
    with telemetry.run("intake"), pytest.raises(Exception, match="400"):
        client.chat.completions.create(**BODY)
    total = recorded.runs()[0].total

    assert (total.calls, total.errors, total.attempts, total.usage_missing) == (1, 1, 1, 0)


def test_calls_outside_any_run_are_orphans_without_spans(
    record: Record, client: OpenAI, ledger: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is neither a run nor a span, a call counts in the day's orphan run."""
    with disabled_sdk(monkeypatch) as provider:
        recorded = record(provider)
    client.chat.completions.create(**BODY)
    orphan = recorded.run()

    assert (orphan.root.kind, orphan.total.calls, orphan.cost_complete) == ("orphan", 1, True)
