"""Event loops: work belongs to the run and the stage in which its task was made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Thread

from openai import AsyncOpenAI, OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, ask_async, assert_all_have_their_own
from tests.telemetry.recordings import Recorded


def test_gather_and_tasks(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """Tasks keep the stage in which they were made, wherever they are awaited."""

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

    assert_all_have_their_own(recorded, ledger)


def test_work_that_leaves_the_loop(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """`to_thread` and `run_in_executor` take the run and the stage along, with a pool of one's own, too."""

    async def work() -> None:
        loop = asyncio.get_running_loop()
        with telemetry.stage("ranking"), ThreadPoolExecutor(2) as pool:
            await asyncio.to_thread(ask, client, "ada", "ranking")
            await loop.run_in_executor(None, ask, client, "ada", "ranking")
            await loop.run_in_executor(pool, partial(ask, client, "ada", "ranking"))
        await loop.run_in_executor(None, ask, client, "ada")

    with telemetry.run("intake", subject="ada"):
        asyncio.run(work())

    assert_all_have_their_own(recorded, ledger)


def test_work_that_enters_a_loop(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """Work handed to a loop that runs in a thread of its own belongs to where it was handed over."""
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

    assert_all_have_their_own(recorded, ledger)


def test_callbacks(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Callbacks of the loop belong to where they were given to it."""

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

    assert_all_have_their_own(recorded, ledger)


def test_a_task_that_was_there_before(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """A task that waits for work belongs to where it was made: outside any run, what it calls is nobody's."""

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

    assert_all_have_their_own(recorded, ledger)


def test_a_cancelled_task(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """A stage that is cancelled is left: what follows is not of it."""

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

    assert_all_have_their_own(recorded, ledger)


def test_a_stage_around_a_yield(recorded: Recorded, async_client: AsyncOpenAI, ledger: StandIn) -> None:
    """Between two values of a generator its stage goes on: its caller works in the same context."""

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

    assert_all_have_their_own(recorded, ledger)
