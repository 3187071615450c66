"""Threads, tasks and concurrent runs do not mix."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

from openai import AsyncOpenAI, OpenAI
from opentelemetry import context

import telemetry
from tests.telemetry.recordings import Recorded, ask, ask_async, calls_by_stage


def test_threads_keep_their_run(recorded: Recorded, client: OpenAI) -> None:
    """Threads and pools belong to the run and the stage in which they were started."""
    with telemetry.run("intake"):
        with telemetry.stage("ranking"), ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: ask(client), range(8)))
        with telemetry.stage("insights"):
            thread = Thread(target=ask, args=(client,))
            thread.start()
            thread.join()

    assert calls_by_stage(recorded.run()) == {"ranking": 8, "insights": 1}


def test_tasks_keep_their_run(recorded: Recorded, client: OpenAI, async_client: AsyncOpenAI) -> None:
    """Tasks and `to_thread` belong to the run and the stage in which they were started."""

    async def work() -> None:
        async with async_client:
            with telemetry.stage("ranking"):
                await asyncio.gather(*(ask_async(async_client) for _ in range(8)))
                await asyncio.to_thread(ask, client)
            async with asyncio.TaskGroup() as tasks, asyncio.Semaphore():
                tasks.create_task(telemetry.stage("insights", ask_async, async_client))

    with telemetry.run("intake"):
        asyncio.run(work())

    assert calls_by_stage(recorded.run()) == {"ranking": 9, "insights": 1}


def test_runs_in_threads_do_not_mix(recorded: Recorded, client: OpenAI) -> None:
    """Runs that are open at the same time in several threads count only their own calls."""
    together = Barrier(4)

    def work(number: int) -> None:
        with telemetry.run("intake", user_id=number), telemetry.stage(f"stage {number}"):
            together.wait(60)
            for _ in range(number):
                ask(client)
            together.wait(60)

    threads = [Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counts = {run.root.user_id: calls_by_stage(run) for run in recorded.runs()}
    assert counts == {number: {f"stage {number}": number} for number in range(1, 5)}


def test_runs_in_tasks_do_not_mix(recorded: Recorded, async_client: AsyncOpenAI) -> None:
    """Runs that take turns in one event loop count only their own calls."""

    async def work(number: int) -> None:
        run = telemetry.start_run("intake", user_id=number)
        for _ in range(number):
            await telemetry.stage("ranking", ask_async, async_client)
        run.finish()

    async def main() -> None:
        async with async_client:
            await asyncio.gather(*(work(number) for number in range(1, 5)))

    asyncio.run(main())

    counts = {run.root.user_id: run.total.calls for run in recorded.runs()}
    assert counts == {number: number for number in range(1, 5)}


def test_nested_run_is_separate(recorded: Recorded, client: OpenAI) -> None:
    """It counts its own calls, outside the stage around it; afterwards the outer run is current again."""
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
        with telemetry.run("late"):
            ask(client)
        ask(client)
    outer, inner = recorded.runs()

    assert (outer.root.kind, calls_by_stage(outer)) == ("analysis", {"ranking": 1})
    assert (inner.root.kind, calls_by_stage(inner)) == ("late", {"unattributed": 1})


def test_overlapping_handles_leave_no_run_current(recorded: Recorded, client: OpenAI) -> None:
    """Two handles may end in the order of their start; calls after both are orphans."""
    one = telemetry.start_run("intake", user_id=1)
    other = telemetry.start_run("intake", user_id=2)
    one.finish()
    ask(client)
    other.finish()
    ask(client)
    ask(client)

    counts = {(run.root.kind, run.root.user_id): run.total.calls for run in recorded.runs()}
    assert counts == {("intake", 1): 0, ("intake", 2): 1, ("orphan", None): 2}


def test_context_is_restored_after_a_run(recorded: Recorded) -> None:
    """The same holds for stages, documents and handles."""
    before = context.get_current()
    with telemetry.run("intake"), telemetry.stage("ranking"), telemetry.document("a"):
        assert context.get_current() != before
    run = telemetry.start_run("intake")
    run.finish()

    assert context.get_current() == before
