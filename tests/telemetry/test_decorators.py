"""`stage` and `run` as decorators: of functions, coroutines, generators and asynchronous generators."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from threading import Barrier
from typing import Any, assert_type

import pytest
from openai import OpenAI
from opentelemetry.context import get_current

import telemetry
from exporters.rollup.snapshot import UsageKey
from telemetry._internal.context import stage_in
from tests.telemetry.recordings import BROKEN, Broken, Recorded, ask, calls_by_stage, stages

api: Any = telemetry
"""As code without types calls it."""


def current_id() -> str | None:
    run = telemetry.current_run()
    return None if run is None else run.run_id


@telemetry.stage("ranking")
def plain(*seen: str | None) -> list[str | None]:
    """Say where it is."""
    return [*seen, stage_in()]


@telemetry.stage("ranking")
async def coroutine(*seen: str | None) -> list[str | None]:
    """Say where it is."""
    await asyncio.sleep(0)
    return [*seen, stage_in()]


@telemetry.stage("ranking")
def generator(items: int = 3, *, error: BaseException | None = None) -> Generator[str | None, str, str]:
    """Say where it is."""
    for number in range(items):
        with telemetry.stage(f"step {number}"):
            yield stage_in()
    if error is not None:
        raise error
    return f"{stage_in()}"


@telemetry.stage("ranking")
async def async_generator(
    items: int = 3, *, error: BaseException | None = None
) -> AsyncGenerator[str | None, str]:
    """Say where it is."""
    for number in range(items):
        with telemetry.stage(f"step {number}"):
            await asyncio.sleep(0)
            yield stage_in()
    if error is not None:
        raise error


def test_what_they_are_stays() -> None:
    """Frameworks look at functions before they call them; type checkers see the same signature."""
    for function in (plain, coroutine, generator, async_generator):
        assert function.__doc__ == "Say where it is." and function.__module__ == __name__
        assert function.__name__ in globals()
    assert inspect.iscoroutinefunction(coroutine) and inspect.isasyncgenfunction(async_generator)
    assert inspect.isgeneratorfunction(generator)
    assert list(inspect.signature(generator).parameters) == ["items", "error"]
    assert_type(plain("a"), list[str | None])
    assert_type(generator(0), Generator[str | None, str, str])
    assert_type(async_generator(0), AsyncGenerator[str | None, str])


def read() -> Iterator[tuple[str | None, str | None]]:
    for inside in generator():
        yield inside, stage_in()


async def read_async() -> list[tuple[str | None, str | None]]:
    return [(inside, stage_in()) async for inside in async_generator()]


@pytest.mark.parametrize(
    "read", [lambda: list(read()), lambda: asyncio.run(read_async())], ids=["generator", "async generator"]
)
def test_a_suspended_generator(recorded: Recorded, read: Callable[[], list[Any]]) -> None:
    """It is in its own stages, and whoever reads it in theirs."""
    with telemetry.run("intake"):
        assert read() == [(f"step {number}", None) for number in range(3)]
        with telemetry.stage("insights"):
            assert read() == [(f"step {number}", "insights") for number in range(3)]
    found = recorded.run()

    assert stages(found) == {"ranking", "insights", "step 0", "step 1", "step 2"}
    assert found.errors == {}


def test_functions(recorded: Recorded) -> None:
    """Each call is in the stage, and what comes after it is not."""
    with telemetry.run("intake"):
        assert plain("a") == ["a", "ranking"]
        assert asyncio.run(coroutine("a")) == ["a", "ranking"]
        assert stage_in() is None
    assert stages(recorded.run()) == {"ranking"}


def test_calls_between_the_steps(recorded: Recorded, client: OpenAI) -> None:
    """Calls of the generator count to its stage, and those of its reader to none."""

    @telemetry.stage("ranking")
    def asking() -> Iterator[None]:
        for _ in range(2):
            ask(client)
            yield

    with telemetry.run("intake"):
        for _ in asking():
            ask(client)

    assert calls_by_stage(recorded.run()) == {"ranking": 2, "unattributed": 2}


def test_generators_in_turn(recorded: Recorded) -> None:
    """Two that are read in turn, and one inside another, keep apart."""
    with telemetry.run("intake"):
        both = list(zip(generator(2), generator(2), strict=True))
        outer = telemetry.stage("insights")(lambda: generator(1))
        assert both == [("step 0", "step 0"), ("step 1", "step 1")]
        assert list(outer()) == ["step 0"]
        assert stage_in() is None

    assert recorded.run().usage[UsageKey("ranking")].calls == 0


def test_what_is_sent_thrown_and_returned(recorded: Recorded) -> None:
    """Everything that `yield` can do passes."""

    @telemetry.stage("ranking")
    def echo() -> Generator[str, str, str]:
        said = "nothing"
        while said != "end":
            try:
                said = yield said
            except Broken:
                said = f"broken in {stage_in()}"
        return said

    with telemetry.run("intake"):
        talk = echo()
        said = [next(talk), talk.send("a"), talk.throw(Broken()), talk.send("b")]
        with pytest.raises(StopIteration) as end:
            talk.send("end")

    assert said == ["nothing", "a", "broken in ranking", "b"]
    assert end.value.value == "end"
    assert recorded.run().errors == {}


def test_what_is_sent_and_thrown_asynchronously(recorded: Recorded) -> None:
    """As for the others."""

    @telemetry.stage("ranking")
    async def echo() -> AsyncGenerator[str, str]:
        said = "nothing"
        while said != "end":
            try:
                said = yield said
            except Broken:
                said = f"broken in {stage_in()}"

    async def talk() -> list[str]:
        talk = echo()
        said = [await anext(talk), await talk.asend("a"), await talk.athrow(Broken()), await talk.asend("b")]
        with pytest.raises(StopAsyncIteration):
            await talk.asend("end")
        return said

    with telemetry.run("intake"):
        assert asyncio.run(talk()) == ["nothing", "a", "broken in ranking", "b"]
    assert recorded.run().errors == {}


async def read_all(error: BaseException) -> None:
    async for _ in async_generator(1, error=error):
        pass


@pytest.mark.parametrize(
    "act",
    [lambda error: list(generator(1, error=error)), lambda error: asyncio.run(read_all(error))],
    ids=["generator", "async generator"],
)
def test_an_exception(recorded: Recorded, act: Callable[[BaseException], object]) -> None:
    """It passes as it is, and is the stage's."""
    error = Broken()
    with telemetry.run("intake"), pytest.raises(Broken) as caught:
        act(error)

    assert caught.value is error
    assert recorded.run().errors == {("ranking", BROKEN): 1}


async def read_one() -> None:
    async with aclosing(async_generator()) as reading:
        assert await anext(reading) == "step 0"
        assert stage_in() is None
    assert stage_in() is None


def close_early() -> None:
    with closing(generator()) as reading:
        assert next(reading) == "step 0"


def drop() -> None:
    reading = generator()
    assert next(reading) == "step 0"
    del reading
    gc.collect()


@pytest.mark.parametrize(
    "act", [close_early, drop, lambda: asyncio.run(read_one())], ids=["closed", "dropped", "async"]
)
def test_who_stops_reading(recorded: Recorded, act: Callable[[], None]) -> None:
    """The stage ends then; that is no error, and the reader's context is its own."""
    with telemetry.run("intake"):
        before = get_current()
        act()
        assert get_current() == before
    found = recorded.run()

    assert stages(found) == {"ranking", "step 0"}
    assert (found.status, found.errors) == ("completed", {})


@telemetry.run("analysis", user_id=7, candidates=1)
def analyse(depth: int = 0) -> list[str | None]:
    return [current_id(), *(analyse(depth - 1) if depth else [])]


def test_each_call_is_a_run(recorded: Recorded) -> None:
    """Also one in another, and the outer goes on when the inner has ended."""

    @telemetry.run("intake")
    def outer() -> str | None:
        inner = analyse(2)
        assert len(set(inner)) == 3
        assert current_id() not in inner
        return current_id()

    assert outer() != outer()
    assert telemetry.current_run() is None
    found = recorded.runs()
    assert [run.root.kind for run in found] == ["intake", *["analysis"] * 3] * 2
    assert {run.root.user_id for run in found if run.root.kind == "analysis"} == {7}


def test_runs_in_threads_and_tasks(recorded: Recorded) -> None:
    """Each has its own, at the same time."""
    together = Barrier(4)

    @telemetry.run("analysis", candidates=1)
    def in_thread() -> str | None:
        together.wait(10)
        return current_id()

    @telemetry.run("intake")
    async def in_task() -> str | None:
        await asyncio.sleep(0)
        return current_id()

    async def gather() -> list[str | None]:
        return await asyncio.gather(*(in_task() for _ in range(4)))

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: in_thread(), range(4)))
    ids += asyncio.run(gather())

    assert None not in ids and len(set(ids)) == 8
    assert len(recorded.runs()) == 8


def test_the_run_of_a_generator(recorded: Recorded) -> None:
    """It begins with the first step and ends with the last; its reader is in no run meanwhile."""

    @telemetry.run("analysis", candidates=1)
    def work() -> Iterator[str | None]:
        for _ in range(2):
            yield current_id()

    unread = work()
    seen = []
    for inside in work():
        assert telemetry.current_run() is None
        seen.append(inside)
    del unread
    (run,) = recorded.runs()

    assert seen == [run.root.run_id] * 2
    assert run.status == "completed"


def test_the_run_of_a_generator_that_is_closed(recorded: Recorded) -> None:
    """Nobody wanted its end: it is cancelled. An error makes it fail."""

    @telemetry.run("analysis", candidates=1)
    async def work(error: BaseException | None = None) -> AsyncIterator[int]:
        yield 1
        if error is not None:
            raise error

    async def read(error: BaseException | None) -> None:
        reading = work(error)
        async for _ in reading:
            if error is None:
                break
        await reading.aclose()  # type: ignore[attr-defined]

    asyncio.run(read(None))
    with pytest.raises(Broken):
        asyncio.run(read(Broken()))
    found = recorded.runs()

    assert [run.status for run in found] == ["cancelled", "failed"]
    assert [run.errors for run in found] == [{}, {("unattributed", BROKEN): 1}]


def test_a_task_that_is_cancelled(recorded: Recorded) -> None:
    """Its run is cancelled, and nothing is left open."""
    reached = asyncio.Event()

    @telemetry.run("analysis", candidates=1)
    @telemetry.stage("ranking")
    async def work() -> None:
        reached.set()
        await asyncio.sleep(60)

    async def cancel() -> None:
        task = asyncio.create_task(work())
        await reached.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert recorded.run().status == "cancelled"


def test_beside_other_decorators(recorded: Recorded) -> None:
    """Methods, class methods, context managers and properties of any kind."""

    class Screener:
        @telemetry.stage("ranking")
        def method(self) -> str | None:
            return stage_in()

        @classmethod
        @telemetry.stage("ranking")
        def of_class(cls) -> str | None:
            return stage_in()

        @staticmethod
        @telemetry.stage("ranking")
        def of_none() -> str | None:
            return stage_in()

    @contextmanager
    @telemetry.stage("ranking")
    def around() -> Iterator[str | None]:
        yield stage_in()

    @asynccontextmanager
    @telemetry.stage("ranking")
    async def around_async() -> AsyncIterator[str | None]:
        yield stage_in()

    async def enter() -> str | None:
        async with around_async() as inside:
            assert stage_in() is None
            return inside

    with telemetry.run("intake"):
        found = [Screener().method(), Screener.of_class(), Screener.of_none(), asyncio.run(enter())]
        with around() as inside:
            assert stage_in() is None
    assert [*found, inside] == ["ranking"] * 5


def test_one_call_of_a_generator_function(recorded: Recorded) -> None:
    """As with functions, nothing needs to be decorated."""

    def steps(count: int) -> Iterator[str | None]:
        for _ in range(count):
            yield stage_in()

    with telemetry.run("intake"):
        reading = telemetry.stage("ranking", steps, 2)
        assert [(inside, stage_in()) for inside in reading] == [("ranking", None)] * 2
    assert stages(recorded.run()) == {"ranking"}


@pytest.mark.parametrize(
    "wrong", [5, None, classmethod(lambda cls: None)], ids=["int", "None", "classmethod"]
)
def test_what_is_no_function(recorded: Recorded, caplog: pytest.LogCaptureFixture, wrong: Any) -> None:
    """It stays what it is, and one line says so."""
    assert api.run("analysis")(wrong) is wrong
    assert "function has a value of type" in caplog.text
    assert recorded.runs() == []


def test_a_block_that_is_used_as_a_handle(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """`run` opens nothing by itself; one line says what does."""
    telemetry.run("analysis").finish()

    assert "never entered" in caplog.text and "telemetry.start_run()" in caplog.text
    assert recorded.runs() == []


def test_without_a_recorder() -> None:
    """Decorated functions work as if they were not decorated; a generator's context is its caller's, too."""
    assert plain("a") == ["a", None] and asyncio.run(coroutine("a")) == ["a", None]
    assert list(generator(2)) == [None, None]
    assert asyncio.run(read_async()) == [(None, None)] * 3
    assert telemetry.run("intake")(lambda: 5)() == 5
