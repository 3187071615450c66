"""Stages, opened by the API or by plain OpenTelemetry spans, and the calls that count in them."""

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


def test_stage_may_wrap_one_call(recorded: Recorded) -> None:
    """Arguments and result of the call are passed through."""
    with telemetry.run("intake"):
        assert telemetry.stage("ranking", add, 1, other=2) == 3
        assert asyncio.run(telemetry.stage("insights", add_async, 1, other=2)) == 3
    rollup = recorded.run()

    assert (stages(rollup), rollup.counters) == ({"ranking", "insights"}, {"app_retries": 2})


def test_stage_wraps_the_awaitable_of_a_function(recorded: Recorded) -> None:
    """The stage lasts until the awaitable is done, even if the function is no coroutine function."""

    async def wait(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 3

    with telemetry.run("intake"):
        assert asyncio.run(telemetry.stage("ranking", lambda: wait(0.05))) == 3

    assert recorded.run().usage[UsageKey("ranking")].duration_us >= 50_000


def test_failing_call_counts_an_error_of_its_stage(recorded: Recorded) -> None:
    """The error itself is passed on unchanged."""

    def fail() -> None:
        raise error

    error = Broken()
    with telemetry.run("intake"), pytest.raises(Broken) as caught:
        telemetry.stage("ranking", fail)

    assert caught.value is error
    assert recorded.run().errors == {("ranking", BROKEN): 1}


def test_caught_exception_still_counts_as_an_error_of_its_stage(recorded: Recorded) -> None:
    """The run completes, and the error that left the stage counts."""
    with telemetry.run("intake"):
        try:
            with telemetry.stage("ranking"):
                raise Broken
        except Broken:
            pass
    rollup = recorded.run()

    assert (rollup.status, rollup.errors) == ("completed", {("ranking", BROKEN): 1})


def test_calls_belong_to_the_innermost_stage(recorded: Recorded, client: OpenAI) -> None:
    """Calls outside all stages are unattributed."""
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


def test_plain_spans_may_be_stages(recorded: Recorded, client: OpenAI) -> None:
    """An OpenTelemetry span with `analysis.stage` is a stage, within those of the API and around them."""
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
    rollup = recorded.run()

    assert calls_by_stage(rollup) == {"ranking": 2, "insights": 2}
    assert stages(rollup) == {"ranking", "insights"}


def test_attribute_of_a_stage_may_be_set_later(recorded: Recorded, client: OpenAI) -> None:
    """Calls under the span belong to the stage that is set when they are made."""
    with telemetry.run("intake"), recorded.tracer.start_as_current_span("work") as span:
        span.set_attribute(Attribute.STAGE, "ranking")
        ask(client)

    assert calls_by_stage(recorded.run()) == {"ranking": 1}


def test_error_of_a_plain_span_is_counted(recorded: Recorded) -> None:
    """The exception that ends the span counts in its stage, and is passed on."""
    with telemetry.run("intake"), pytest.raises(Broken):
        with recorded.tracer.start_as_current_span("rank", attributes={Attribute.STAGE: "ranking"}):
            raise Broken

    assert recorded.run().errors == {("ranking", BROKEN): 1}


def test_stages_outside_a_run_record_nothing(recorded: Recorded) -> None:
    """Neither plain spans nor calls of the API open a run."""
    with recorded.tracer.start_as_current_span("rank", attributes={Attribute.STAGE: "ranking"}):
        pass
    with telemetry.stage("ranking"), telemetry.document("cv.pdf") as document:
        document.score(1)
    telemetry.count("app_retries")
    telemetry.record_fallback(Broken())
    telemetry.fail_current_run(Broken())

    assert recorded.runs() == []
