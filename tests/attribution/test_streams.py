"""Streams: a call belongs to the run and stage in which it began, wherever its answer is read."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, assert_calls_match_ledger, stream, stream_async
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded


async def read(answer: Any) -> None:
    async for _ in answer:
        pass


def test_stream_read_in_another_stage_keeps_its_own(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """The same holds where it is read in none."""
    with telemetry.run("intake", subject="ada"):
        with telemetry.stage("ranking"):
            one, other = stream(client, "ada", "ranking"), stream(client, "ada", "ranking")
        with telemetry.stage("insights"):
            list(one)
            ask(client, "ada", "insights")
        list(other)

    assert_calls_match_ledger(recorded, ledger)


def test_calls_made_while_a_stream_is_read_are_separate(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """They belong to their own stages."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        for number, _ in enumerate(stream(client, "ada", "ranking")):
            if number in (0, 2):
                telemetry.stage("insights", ask, client, "ada", "insights")
        ask(client, "ada", "ranking")

    assert_calls_match_ledger(recorded, ledger)


def test_stream_read_in_another_thread_keeps_its_run(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """The thread may belong to no run, or to another one."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        one, other = stream(client, "ada", "ranking"), stream(client, "ada", "ranking")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(list, one).result()
    with telemetry.run("intake", subject="bob"), telemetry.stage("insights"):
        thread = Thread(target=list, args=(other,))
        thread.start()
        thread.join()
        ask(client, "bob", "insights")

    assert_calls_match_ledger(recorded, ledger)


@pytest.mark.parametrize("late_seconds", [60.0, 0.0])
def test_stream_read_after_its_run_keeps_its_run(
    record: Record, client: OpenAI, ledger: StandIn, late_seconds: float
) -> None:
    """It does so however late it is read."""
    recorded = record(late_seconds=late_seconds)
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        begun = [stream(client, "ada", "ranking") for _ in range(3)]
        list(begun.pop())
    list(begun.pop())
    with telemetry.run("intake", subject="bob"):
        list(begun.pop())

    runs = assert_calls_match_ledger(recorded, ledger)
    assert [run.unfinished for run in runs] == [0, 0]


def test_asynchronous_stream_keeps_its_run(
    recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn
) -> None:
    """It may be read in another task, in another stage, or after the run."""

    async def main() -> None:
        async with async_client:
            with telemetry.run("intake", subject="ada"):
                with telemetry.stage("ranking"):
                    begun = [await stream_async(async_client, "ada", "ranking") for _ in range(3)]
                with telemetry.stage("insights"):
                    await read(begun.pop())
                await asyncio.create_task(read(begun.pop()))
            await read(begun.pop())

    asyncio.run(main())

    assert_calls_match_ledger(recorded, ledger)


def test_stream_begun_outside_any_run_stays_an_orphan(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """It does so even if its answer is read in a run."""
    begun = stream(client)
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        list(begun)
        ask(client, "ada", "ranking")

    assert_calls_match_ledger(recorded, ledger)
