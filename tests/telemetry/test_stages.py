"""Stages: whose work a call was, by the API or by plain OpenTelemetry spans."""

from __future__ import annotations

import asyncio

import pytest
from openai import OpenAI

import telemetry
from exporters.rollup.snapshot import UsageKey
from telemetry.conventions import Attribute
from tests.telemetry.recordings import BROKEN, Broken, Recorded, ask, calls_by_stage, stages


def add(one: int, *, other: int) -> int:
    telemetry.count("app_retries")
    return one + other


async def add_async(one: int, *, other: int) -> int:
    await asyncio.sleep(0)
    return add(one, other=other)


def test_stage_around_one_call(recorded: Recorded) -> None:
    """A stage may be put around one call, whose arguments and result pass."""
    with telemetry.run("intake"):
        assert telemetry.stage("ranking", add, 1, other=2) == 3
        assert asyncio.run(telemetry.stage("insights", add_async, 1, other=2)) == 3
    found = recorded.run()

    assert (stages(found), found.counters) == ({"ranking", "insights"}, {"app_retries": 2})


def test_stage_around_a_function_that_gives_an_awaitable(recorded: Recorded) -> None:
    """What is awaited later is in the stage then, too, whatever kind of callable it came from."""

    async def wait(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 3

    with telemetry.run("intake"):
        assert asyncio.run(telemetry.stage("ranking", lambda: wait(0.05))) == 3

    assert recorded.run().usage[UsageKey("ranking")].duration_us >= 50_000


def test_stage_around_a_call_that_fails(recorded: Recorded) -> None:
    """The error of a call in a stage passes, and is the stage's."""

    def fail() -> None:
        raise error

    error = Broken()
    with telemetry.run("intake"), pytest.raises(Broken) as caught:
        telemetry.stage("ranking", fail)

    assert caught.value is error
    assert recorded.run().errors == {("ranking", BROKEN): 1}


def test_a_swallowed_exception_is_still_an_error_of_its_stage(recorded: Recorded) -> None:
    """Who catches an error outside the stage it left goes on, and the run knows of it."""
    with telemetry.run("intake"):
        try:
            with telemetry.stage("ranking"):
                raise Broken
        except Broken:
            pass
    found = recorded.run()

    assert (found.status, found.errors) == ("completed", {("ranking", BROKEN): 1})


def test_calls_belong_to_the_innermost_stage(recorded: Recorded, client: OpenAI) -> None:
    """A stage in a stage takes the calls until it is left; outside all stages they are unattributed."""
    with telemetry.run("intake"):
        ask(client)
        with telemetry.stage("ranking"):
            ask(client)
            with telemetry.stage("insights"):
                ask(client)
                ask(client)
            ask(client)
            ask(client)

    assert calls_by_stage(recorded.run()) == {"unattributed": 1, "ranking": 3, "insights": 2}


def test_plain_spans_name_stages_too(recorded: Recorded, client: OpenAI) -> None:
    """A plain OpenTelemetry span with `analysis.stage` is a stage, inside and around those of the API."""
    span = recorded.tracer.start_as_current_span
    with telemetry.run("intake"):
        with span("rank", attributes={Attribute.STAGE: "ranking"}):
            ask(client)
            with telemetry.stage("insights"):
                ask(client)
                with span("again", attributes={Attribute.STAGE: "ranking"}), span("no stage of its own"):
                    ask(client)
        with telemetry.stage("insights"), span("no stage of its own"):
            ask(client)
    found = recorded.run()

    assert calls_by_stage(found) == {"ranking": 2, "insights": 2}
    assert stages(found) == {"ranking", "insights"}


def test_a_stage_may_be_named_after_its_span_began(recorded: Recorded, client: OpenAI) -> None:
    """Calls under a span are of the stage that it was given before they were made."""
    with telemetry.run("intake"), recorded.tracer.start_as_current_span("work") as span:
        span.set_attribute(Attribute.STAGE, "ranking")
        ask(client)

    assert calls_by_stage(recorded.run()) == {"ranking": 1}


def test_the_error_of_a_plain_span_is_counted(recorded: Recorded) -> None:
    """A plain span of a stage that ends in an exception counts it; the exception passes."""
    with telemetry.run("intake"), pytest.raises(Broken):
        with recorded.tracer.start_as_current_span("rank", attributes={Attribute.STAGE: "ranking"}):
            raise Broken

    assert recorded.run().errors == {("ranking", BROKEN): 1}


def test_a_plain_span_opens_no_run(recorded: Recorded) -> None:
    """Outside a run a stage is nothing."""
    with recorded.tracer.start_as_current_span("rank", attributes={Attribute.STAGE: "ranking"}):
        pass
    with telemetry.stage("ranking"), telemetry.document("cv.pdf") as document:
        document.score(1)
    telemetry.count("app_retries")
    telemetry.record_fallback(Broken())
    telemetry.fail_current_run(Broken())

    assert recorded.runs() == []
