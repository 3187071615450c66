"""Beside other instrumentations of OpenAI, each call counts exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.genai.handler import TelemetryHandler

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution import beside
from tests.attribution.owners import MODEL, Owner, ask, ask_async, assert_calls_match_ledger, body, stream
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded

PLACES = ("around ours", "inside ours", "around and inside ours")


@contextmanager
def recording_beside(place: str, record: Record) -> Iterator[Recorded]:
    """Record, with another instrumentation installed after telemetry's, before it, or both."""
    provider = TracerProvider(shutdown_on_exit=False)
    with ExitStack() as stack:
        if "inside" in place:
            stack.enter_context(beside.installed(provider))
        recorded = record(provider)
        if "around" in place:
            stack.enter_context(beside.installed(provider))
        yield recorded


@pytest.mark.parametrize("place", PLACES)
def test_no_call_counts_twice(place: str, record: Record, client: OpenAI, ledger: StandIn) -> None:
    """Calls, attempts and tokens equal the ledger's: in a run, in a stage, and outside."""
    with recording_beside(place, record) as recorded:
        ask(client)
        with telemetry.run("intake", subject="ada"):
            ask(client, "ada")
            with telemetry.stage("ranking"):
                ask(client, "ada", "ranking")
                list(stream(client, "ada", "ranking"))
                ask(client, "ada", "ranking")
        assert_calls_match_ledger(recorded, ledger)


@pytest.mark.parametrize("place", PLACES)
def test_no_asynchronous_call_counts_twice(
    place: str, record: Record, async_client: AsyncOpenAI, ledger: StandIn
) -> None:
    """This includes concurrent calls."""

    async def work() -> None:
        async with async_client:
            await ask_async(async_client)
            with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
                await asyncio.gather(*(ask_async(async_client, "ada", "ranking") for _ in range(5)))

    with recording_beside(place, record) as recorded:
        asyncio.run(work())
        assert_calls_match_ledger(recorded, ledger)


@pytest.mark.parametrize("place", PLACES)
def test_attempts_count_once(place: str, record: Record, client: OpenAI, ledger: StandIn) -> None:
    """So do those of a call that fails for good."""
    ledger.faults([{"status": 429, "first_attempts": 2, "retry_after_ms": 1}])
    with recording_beside(place, record) as recorded:
        with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
            ask(client, "ada", "ranking")
            ledger.faults([{"status": 429, "retry_after_ms": 1}])
            with pytest.raises(Exception, match="429"):
                ask(client, "ada", "insights")
        total = recorded.run().total

    assert (total.calls, total.errors) == (2, 1)
    assert (total.attempts, total.rate_limit_hits, total.rate_limit_retries) == (6, 5, 4)


@pytest.mark.parametrize("place", PLACES)
def test_calls_by_post_count_once(place: str, record: Record, client: OpenAI, ledger: StandIn) -> None:
    """Only telemetry instruments `post`; a span of another tool around it changes nothing."""
    request = body(Owner("ada", "ranking"))
    with recording_beside(place, record) as recorded:
        other = recorded.provider.get_tracer(beside.SCOPE)
        with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
            with other.start_as_current_span("chain", attributes={"gen_ai.usage.input_tokens": 7}):
                client.post("/chat/completions", cast_to=dict[str, object], body=request)
                ask(client, "ada", "ranking")
        assert_calls_match_ledger(recorded, ledger)


def test_calls_within_a_genai_handler_count_once(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Such a tool takes the place of the official span; calls and streams count with their usage."""
    tool = TelemetryHandler(tracer_provider=recorded.provider)
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        with tool.inference("openai", request_model=MODEL):
            ask(client, "ada", "ranking")
        with tool.inference("openai", request_model=MODEL):
            list(stream(client, "ada", "ranking"))
    run = recorded.run()
    used = [attempt["usage"] for attempt in ledger.ledger()["attempts"]]

    assert (run.total.calls, run.total.attempts, run.total.usage_missing) == (2, 2, 0)
    assert run.total.input_tokens == sum(usage["input_tokens"] for usage in used)
    assert run.cost_complete
