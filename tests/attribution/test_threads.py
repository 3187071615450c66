"""Threads: work belongs to the run and the stage in which it was handed over."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from queue import Queue
from threading import Thread, Timer
from typing import Any

import pytest
from openai import OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import NOBODY, ask, assert_all_have_their_own
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded


def finish(thread: Thread) -> None:
    thread.start()
    thread.join()


def test_threads_and_timers(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A thread or a timer belongs to where it was started, not to where it was made."""
    with telemetry.run("intake", subject="ada"):
        thread = Thread(target=ask, args=(client, "ada", "ranking"))
        with telemetry.stage("ranking"):
            finish(thread)
        with telemetry.stage("insights"):
            finish(Timer(0.01, ask, (client, "ada", "insights")))
        finish(Thread(target=ask, args=(client, "ada")))

    assert_all_have_their_own(recorded, ledger)


def test_threads_of_threads(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """What a thread starts belongs where the thread does."""

    def work() -> None:
        finish(Thread(target=ask, args=(client, "ada", "ranking")))
        with telemetry.stage("insights"):
            finish(Thread(target=ask, args=(client, "ada", "insights")))

    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        finish(Thread(target=work))

    assert_all_have_their_own(recorded, ledger)


def test_pools(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Jobs of a pool belong to where each was submitted."""
    with telemetry.run("intake", subject="ada"), ThreadPoolExecutor(3) as pool:
        with telemetry.stage("ranking"):
            ranked = [pool.submit(ask, client, "ada", "ranking") for _ in range(4)]
        with telemetry.stage("insights"):
            list(pool.map(lambda _: ask(client, "ada", "insights"), range(4)))
        for job in ranked:
            job.result()

    assert_all_have_their_own(recorded, ledger)


def test_a_pool_that_many_share(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """The threads of a pool keep nothing of the run in which they were started."""
    with ThreadPoolExecutor(1) as pool:
        with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
            pool.submit(ask, client, "ada", "ranking").result()
        pool.submit(ask, client).result()
        with telemetry.run("intake", subject="bob"):
            pool.submit(ask, client, "bob").result()
        with telemetry.stage("ranking"):
            pool.submit(ask, client).result()

    assert_all_have_their_own(recorded, ledger)


def test_a_job_that_opens_a_run(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A run that a job opens, and one that it forgets to close, stay in that job."""

    def work(name: str, is_closed: bool) -> Any:
        run = telemetry.start_run("intake", subject=name)
        ask(client, name)
        return run.finish() if is_closed else run

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work, "ada", True).result()
        left_open = pool.submit(work, "bob", False).result()
        pool.submit(ask, client).result()
        left_open.finish()

    assert_all_have_their_own(recorded, ledger)


def test_pools_of_multiprocessing(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Jobs of `multiprocessing.pool` belong to where their pool was made, wherever they are handed over."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"), ThreadPool(2) as pool:
        pool.starmap(ask, [(client, "ada", "ranking")] * 3)
        with telemetry.run("intake", subject="bob"):
            pool.apply(ask, (client, "ada", "ranking"))

    assert_all_have_their_own(recorded, ledger)


def test_a_thread_that_was_there_before(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A thread that waits for work belongs to no run; with the context of the run, the work does."""
    queue: Queue[Any] = Queue()
    thread = Thread(target=lambda: [job() for job in iter(queue.get, None)])
    thread.start()
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        inside = contextvars.copy_context()
        queue.put(lambda: ask(client))
        queue.put(lambda: inside.run(ask, client, "ada", "ranking"))
        queue.put(None)
        thread.join()

    assert_all_have_their_own(recorded, ledger)


class Overriding(Thread):
    """A thread with a `run` of its own."""

    def __init__(self, client: OpenAI, *owner: str) -> None:
        super().__init__()
        self.client, self.owner = client, owner

    def run(self) -> None:
        ask(self.client, *self.owner)


class Carrying(Overriding):
    """The same, with the context in which it was made."""

    def __init__(self, client: OpenAI, *owner: str) -> None:
        super().__init__(client, *owner)
        self.context = contextvars.copy_context()

    def run(self) -> None:
        self.context.run(super().run)


def test_a_thread_that_overrides_run(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A subclass with a `run` of its own belongs to nobody, and is counted; with the context, to its run."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        finish(Overriding(client, NOBODY))
        finish(Carrying(client, "ada", "ranking"))

    assert_all_have_their_own(recorded, ledger)


@pytest.mark.parametrize(("late_seconds", "owner"), [(60.0, ("ada", "ranking")), (0.0, (NOBODY, "ranking"))])
def test_a_thread_that_outlives_its_run(
    record: Record, client: OpenAI, ledger: StandIn, late_seconds: float, owner: tuple[str, str]
) -> None:
    """What it calls soon after the end is the run's still; later calls are nobody's."""
    recorded = record(late_seconds=late_seconds)
    begun, ended = Queue[None](), Queue[None]()

    def work() -> None:
        ask(client, "ada", "ranking")
        begun.put(None)
        ended.get(timeout=300)
        ask(client, *owner)

    thread = Thread(target=work, daemon=True)
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        thread.start()
        begun.get(timeout=300)
    ended.put(None)
    thread.join()

    assert_all_have_their_own(recorded, ledger)
