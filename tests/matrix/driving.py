"""Make the call of a cell in a run of its own, as an application does."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass
from typing import Any

import telemetry
from tests.matrix.arrivals import Arrivals
from tests.matrix.cells import Cell

POLL_SECONDS = 0.05
"""Seconds between polls of whether a call that is to be cancelled has arrived."""


@dataclass(frozen=True)
class Trial:
    """A cell, and the client with which it is tried."""

    cell: Cell
    client: Any
    arrivals: Arrivals

    def make(self) -> Any:
        """Make the call, and return its answer or an awaitable or context manager of it."""
        key = self.cell.api_key
        headers = {"api-key": key} if self.cell.variant == "Azure" else {"Authorization": f"Bearer {key}"}
        return self.cell.kind.make(self.client, self.cell.text, headers)


@dataclass
class Tried:
    """The result of a cell, as the application sees it."""

    run_id: str
    raised: str = ""


def drive(trial: Trial) -> Tried:
    """Try a cell of a synchronous client."""
    run = telemetry.start_run("analysis")
    tried = Tried(run.run_id or "")
    rest: Iterator[Any] | None = None
    try:
        with telemetry.stage("ranking"):
            for _ in range(trial.cell.outcome.calls):
                rest = _begin(trial)
        run.finish()
        deque(rest or (), maxlen=0)
    except Exception as error:
        tried.raised = type(error).__name__
    run.finish()
    return tried


def _begin(trial: Trial) -> Iterator[Any] | None:
    """Read the answer as far as the outcome says; return the rest if it is to be read after the run."""
    reading, items = trial.cell.outcome.reading, _items(trial)
    if reading == "all":
        deque(items, maxlen=0)
        return None
    next(items)
    if reading == "keep":
        return items
    items.close()
    del items
    gc.collect()
    return None


def _items(trial: Trial) -> Generator[Any]:
    """Yield the pieces of the answer. If closed early, close the stream if the outcome says so."""
    kind = trial.cell.kind
    with ExitStack() as stack:
        answer = trial.make()
        if kind.is_managed:
            answer = stack.enter_context(answer)
            yield answer  # the headers have arrived, the body is not read yet
        if kind.is_raw:
            answer = answer.parse()
        if not kind.is_streamed:
            yield answer
            return
        if trial.cell.outcome.reading == "close":
            stack.enter_context(closing(answer))
        for item in answer:  # noqa: UP028 - `yield from` would close a stream that is to be dropped
            yield item


async def drive_async(trial: Trial) -> Tried:
    """Try a cell of an asynchronous client, in a task of its own."""
    has_answer = asyncio.Event()
    task = asyncio.ensure_future(_drive_async(trial, has_answer))
    if trial.cell.outcome.reading == "cancel":
        while not task.done() and not await asyncio.to_thread(trial.arrivals.include, trial.cell.api_key):
            await asyncio.sleep(POLL_SECONDS)
        task.cancel()
    elif trial.cell.outcome.reading == "cancel later":
        begun = asyncio.ensure_future(has_answer.wait())
        await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        task.cancel()
    return await task


async def _drive_async(trial: Trial, has_answer: asyncio.Event) -> Tried:
    run = telemetry.start_run("analysis")
    tried = Tried(run.run_id or "")
    rest: AsyncIterator[Any] | None = None
    try:
        with telemetry.stage("ranking"):
            for _ in range(trial.cell.outcome.calls):
                rest = await _begin_async(trial, has_answer)
        run.finish()
        if rest is not None:
            await _exhaust(rest)
    except (Exception, asyncio.CancelledError) as error:
        tried.raised = type(error).__name__
    run.finish()
    return tried


async def _begin_async(trial: Trial, has_answer: asyncio.Event) -> AsyncIterator[Any] | None:
    reading, items = trial.cell.outcome.reading, _items_async(trial)
    if reading in ("all", "cancel"):
        await _exhaust(items)
        return None
    await anext(items)
    has_answer.set()
    if reading == "keep":
        return items
    if reading == "cancel later":
        await _exhaust(items)
    await items.aclose()
    del items
    gc.collect()
    return None


async def _exhaust(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


async def _items_async(trial: Trial) -> AsyncGenerator[Any]:
    kind = trial.cell.kind
    async with AsyncExitStack() as stack:
        answer = trial.make()
        answer = await (stack.enter_async_context(answer) if kind.is_managed else answer)
        if kind.is_managed:
            yield answer
        if kind.is_raw:
            answer = answer.parse()
            answer = await answer if inspect.isawaitable(answer) else answer
        if not kind.is_streamed:
            yield answer
            return
        if trial.cell.outcome.reading == "close":
            stack.push_async_callback(answer.close)
        async for item in answer:
            yield item
