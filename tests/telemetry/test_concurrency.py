"""Threads, tasks and several runs at once: each has what is its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Thread

from openai import AsyncOpenAI, OpenAI
from opentelemetry import context

import telemetry
from tests.telemetry.recordings import Recorded, ask, ask_async, calls_by_stage


def test_threads_keep_their_run(recorded: Recorded, client: OpenAI) -> None:
    """Threads and pools work for the run and the stage in which they were started."""
    with telemetry.run("intake"):
        with telemetry.stage("ranking"), ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: ask(client), range(8)))
        with telemetry.stage("insights"):
            thread = Thread(target=ask, args=(client,))
            thread.start()
            thread.join()

    assert calls_by_stage(recorded.run()) == {"ranking": 8, "insights": 1}


def test_tasks_keep_their_run(recorded: Recorded, client: OpenAI, async_client: AsyncOpenAI) -> None:
    """Tasks and `to_thread` work for the run and the stage in which they were started."""

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
    """Runs that are open at the same time in several threads have only what is theirs."""
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

    found = {run.root.user_id: calls_by_stage(run) for run in recorded.runs()}
    assert found == {number: {f"stage {number}": number} for number in range(1, 5)}


def test_runs_in_tasks_do_not_mix(recorded: Recorded, async_client: AsyncOpenAI) -> None:
    """Runs that take turns in one event loop have only what is theirs."""

    async def work(number: int) -> None:
        run = telemetry.start_run("intake", user_id=number)
        for _ in range(number):
            await telemetry.stage("ranking", ask_async, async_client)
        run.finish()

    async def main() -> None:
        async with async_client:
            await asyncio.gather(*(work(number) for number in range(1, 5)))

    asyncio.run(main())

    found = {run.root.user_id: run.total.calls for run in recorded.runs()}
    assert found == {number: number for number in range(1, 5)}


def test_a_run_in_a_run_is_a_run_of_its_own(recorded: Recorded, client: OpenAI) -> None:
    """A nested run takes what happens in it, without the stage around it; then the outer one goes on."""
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
        with telemetry.run("late"):
            ask(client)
        ask(client)
    outer, inner = recorded.runs()

    assert (outer.root.kind, calls_by_stage(outer)) == ("analysis", {"ranking": 1})
    assert (inner.root.kind, calls_by_stage(inner)) == ("late", {"unattributed": 1})


def test_handles_may_overlap(recorded: Recorded, client: OpenAI) -> None:
    """Two handles that end in the order of their start leave nothing behind: what follows is of no run."""
    one = telemetry.start_run("intake", user_id=1)
    other = telemetry.start_run("intake", user_id=2)
    one.finish()
    ask(client)
    other.finish()
    ask(client)
    ask(client)

    found = {(run.root.kind, run.root.user_id): run.total.calls for run in recorded.runs()}
    assert found == {("intake", 1): 0, ("intake", 2): 1, ("orphan", None): 2}


def test_the_context_is_left_as_it_was(recorded: Recorded) -> None:
    """After a run, its stages and documents, the application's context is what it was before."""
    before = context.get_current()
    with telemetry.run("intake"), telemetry.stage("ranking"), telemetry.document("a"):
        assert context.get_current() != before
    run = telemetry.start_run("intake")
    run.finish()

    assert context.get_current() == before
