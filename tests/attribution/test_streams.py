"""Streams: a call belongs to where it began, wherever and whenever its answer is read."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, assert_all_have_their_own, stream, stream_async
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded


async def read(answer: Any) -> None:
    async for _ in answer:
        pass


def test_read_in_another_stage(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Reading an answer in another stage, or in none, moves nothing."""
    with telemetry.run("intake", subject="ada"):
        with telemetry.stage("ranking"):
            one, other = stream(client, "ada", "ranking"), stream(client, "ada", "ranking")
        with telemetry.stage("insights"):
            list(one)
            ask(client, "ada", "insights")
        list(other)

    assert_all_have_their_own(recorded, ledger)


def test_read_while_others_are_made(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Calls made while an answer is being read are calls of their own."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        for number, _ in enumerate(stream(client, "ada", "ranking")):
            if number in (0, 2):
                telemetry.stage("insights", ask, client, "ada", "insights")
        ask(client, "ada", "ranking")

    assert_all_have_their_own(recorded, ledger)


def test_read_in_another_thread(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Reading in a thread of no run, or of another run, moves nothing either."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        one, other = stream(client, "ada", "ranking"), stream(client, "ada", "ranking")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(list, one).result()
    with telemetry.run("intake", subject="bob"), telemetry.stage("insights"):
        thread = Thread(target=list, args=(other,))
        thread.start()
        thread.join()
        ask(client, "bob", "insights")

    assert_all_have_their_own(recorded, ledger)


@pytest.mark.parametrize("late_seconds", [60.0, 0.0])
def test_read_after_the_run(record: Record, client: OpenAI, ledger: StandIn, late_seconds: float) -> None:
    """An answer that is read after its run has ended is of that run, however late it is."""
    recorded = record(late_seconds=late_seconds)
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        begun = [stream(client, "ada", "ranking") for _ in range(3)]
        list(begun.pop())
    list(begun.pop())
    with telemetry.run("intake", subject="bob"):
        list(begun.pop())

    runs = assert_all_have_their_own(recorded, ledger)
    assert [run.unfinished for run in runs] == [0, 0]


def test_asynchronous_streams(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """The same in an event loop: in another task, in another stage, and after the run."""

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

    assert_all_have_their_own(recorded, ledger)


def test_outside_any_run(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A call that began outside a run is nobody's, even if its answer is read in one."""
    begun = stream(client)
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        list(begun)
        ask(client, "ada", "ranking")

    assert_all_have_their_own(recorded, ledger)
