"""Event loops: calls belong to the run and stage in which their task was created."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Thread

from openai import AsyncOpenAI, OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, ask_async, assert_calls_match_ledger
from tests.telemetry.recordings import Recorded


def test_tasks_keep_the_stage_of_their_creation(
    recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn
) -> None:
    """They do so wherever they are awaited."""

    async def work() -> None:
        async with async_client:
            with telemetry.stage("ranking"):
                ranking = asyncio.gather(*(ask_async(async_client, "ada", "ranking") for _ in range(5)))
                later = asyncio.create_task(ask_async(async_client, "ada", "ranking"))
            with telemetry.stage("insights"):
                await asyncio.gather(ranking, later)
                await ask_async(async_client, "ada", "insights")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(telemetry.stage("insights", ask_async, async_client, "ada", "insights"))
                tasks.create_task(ask_async(async_client, "ada"))

    with telemetry.run("intake", subject="ada"):
        asyncio.run(work())

    assert_calls_match_ledger(recorded, ledger)


def test_executors_inherit_run_and_stage(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """`to_thread` and `run_in_executor` are covered, also with a pool of the application."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with telemetry.stage("ranking"), ThreadPoolExecutor(2) as pool:
            await asyncio.to_thread(ask, client, "ada", "ranking")
            await loop.run_in_executor(None, ask, client, "ada", "ranking")
            await loop.run_in_executor(pool, partial(ask, client, "ada", "ranking"))
        await loop.run_in_executor(None, ask, client, "ada")

    with telemetry.run("intake", subject="ada"):
        asyncio.run(work())

    assert_calls_match_ledger(recorded, ledger)


def test_coroutine_submitted_to_another_loop_keeps_its_run(
    recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn
) -> None:
    """The loop runs in a thread of its own; the run and stage are those of the submitting code."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        work = ask_async(async_client, "ada", "ranking")
        asyncio.run_coroutine_threadsafe(work, loop).result(30)
    asyncio.run_coroutine_threadsafe(ask_async(async_client), loop).result(30)
    asyncio.run_coroutine_threadsafe(async_client.close(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

    assert_calls_match_ledger(recorded, ledger)


def test_callbacks_keep_the_stage_of_their_registration(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """`call_soon`, `call_later` and callbacks of tasks are covered."""

    async def work() -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def ask_at_last() -> None:
            ask(client, "ada", "ranking")
            done.set()

        with telemetry.stage("ranking"):
            loop.call_soon(ask, client, "ada", "ranking")
            task = asyncio.create_task(asyncio.sleep(0))
            task.add_done_callback(lambda _: ask(client, "ada", "ranking"))
            loop.call_later(0.01, ask_at_last)
        await task
        await done.wait()

    with telemetry.run("intake", subject="ada"):
        asyncio.run(work())

    assert_calls_match_ledger(recorded, ledger)


def test_older_task_belongs_to_no_run(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """A worker task that was created outside any run makes orphan calls, even for work queued in a run."""

    async def main() -> None:
        queue: asyncio.Queue[bool] = asyncio.Queue()

        async def consume() -> None:
            while await queue.get():
                await ask_async(async_client)

        async with async_client:
            consumer = asyncio.create_task(consume())
            with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
                queue.put_nowait(True)
                queue.put_nowait(False)
                await consumer
                await ask_async(async_client, "ada", "ranking")

    asyncio.run(main())

    assert_calls_match_ledger(recorded, ledger)


def test_cancelled_stage_is_left(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """Later calls are outside of it."""

    async def work() -> None:
        async with async_client:
            try:
                async with asyncio.timeout(0.01):
                    with telemetry.stage("ranking"):
                        await asyncio.sleep(10)
            except TimeoutError:
                await ask_async(async_client, "ada")

    with telemetry.run("intake", subject="ada"):
        asyncio.run(work())

    assert_calls_match_ledger(recorded, ledger)


def test_stage_of_a_generator_covers_its_caller(
    recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn
) -> None:
    """Between two values of a generator the caller runs in the same context, and so in its stage."""

    async def batches() -> AsyncIterator[int]:
        with telemetry.stage("ranking"):
            for number in range(2):
                await ask_async(async_client, "ada", "ranking")
                yield number

    async def work() -> None:
        async with async_client:
            async for _ in batches():
                await ask_async(async_client, "ada", "ranking")
            await ask_async(async_client, "ada")

    with telemetry.run("intake", subject="ada"):
        asyncio.run(work())

    assert_calls_match_ledger(recorded, ledger)
