"""Threads: calls belong to the run and stage in which the work was started or submitted."""

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
from tests.attribution.owners import ORPHAN, ask, assert_calls_match_ledger
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded


def finish(thread: Thread) -> None:
    thread.start()
    thread.join()


def test_thread_belongs_to_the_stage_that_starts_it(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """Where the thread or timer was created does not matter."""
    with telemetry.run("intake", subject="ada"):
        thread = Thread(target=ask, args=(client, "ada", "ranking"))
        with telemetry.stage("ranking"):
            finish(thread)
        with telemetry.stage("insights"):
            finish(Timer(0.01, ask, (client, "ada", "insights")))
        finish(Thread(target=ask, args=(client, "ada")))

    assert_calls_match_ledger(recorded, ledger)


def test_thread_of_a_thread_inherits_its_stage(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A thread may also open a stage for the threads it starts."""

    def work() -> None:
        finish(Thread(target=ask, args=(client, "ada", "ranking")))
        with telemetry.stage("insights"):
            finish(Thread(target=ask, args=(client, "ada", "insights")))

    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        finish(Thread(target=work))

    assert_calls_match_ledger(recorded, ledger)


def test_job_of_a_pool_belongs_to_the_stage_that_submits_it(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """Both `submit` and `map` are covered."""
    with telemetry.run("intake", subject="ada"), ThreadPoolExecutor(3) as pool:
        with telemetry.stage("ranking"):
            ranked = [pool.submit(ask, client, "ada", "ranking") for _ in range(4)]
        with telemetry.stage("insights"):
            list(pool.map(lambda _: ask(client, "ada", "insights"), range(4)))
        for job in ranked:
            job.result()

    assert_calls_match_ledger(recorded, ledger)


def test_threads_of_a_shared_pool_keep_no_run(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A later job does not belong to the run in which the pool started its thread."""
    with ThreadPoolExecutor(1) as pool:
        with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
            pool.submit(ask, client, "ada", "ranking").result()
        pool.submit(ask, client).result()
        with telemetry.run("intake", subject="bob"):
            pool.submit(ask, client, "bob").result()
        with telemetry.stage("ranking"):
            pool.submit(ask, client).result()

    assert_calls_match_ledger(recorded, ledger)


def test_run_opened_in_a_job_stays_in_that_job(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """It does so even if the job does not end it."""

    def work(name: str, is_closed: bool) -> Any:
        run = telemetry.start_run("intake", subject=name)
        ask(client, name)
        return run.finish() if is_closed else run

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work, "ada", True).result()
        left_open = pool.submit(work, "bob", False).result()
        pool.submit(ask, client).result()
        left_open.finish()

    assert_calls_match_ledger(recorded, ledger)


def test_multiprocessing_thread_pool_belongs_to_its_creation(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """Jobs of `multiprocessing.pool.ThreadPool` belong to the run and stage that created the pool."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"), ThreadPool(2) as pool:
        pool.starmap(ask, [(client, "ada", "ranking")] * 3)
        with telemetry.run("intake", subject="bob"):
            pool.apply(ask, (client, "ada", "ranking"))

    assert_calls_match_ledger(recorded, ledger)


def test_older_thread_belongs_to_no_run(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Work that is queued with the context of a run belongs to that run."""
    queue: Queue[Any] = Queue()
    thread = Thread(target=lambda: [job() for job in iter(queue.get, None)])
    thread.start()
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        inside = contextvars.copy_context()
        queue.put(lambda: ask(client))
        queue.put(lambda: inside.run(ask, client, "ada", "ranking"))
        queue.put(None)
        thread.join()

    assert_calls_match_ledger(recorded, ledger)


class Overriding(Thread):
    """A thread class that overrides `run`."""

    def __init__(self, client: OpenAI, *owner: str) -> None:
        super().__init__()
        self.client, self.owner = client, owner

    def run(self) -> None:
        ask(self.client, *self.owner)


class Carrying(Overriding):
    """The same, but runs in the context in which it was created."""

    def __init__(self, client: OpenAI, *owner: str) -> None:
        super().__init__(client, *owner)
        self.context = contextvars.copy_context()

    def run(self) -> None:
        self.context.run(super().run)


def test_thread_that_overrides_run_belongs_to_no_run(
    recorded: Recorded, client: OpenAI, ledger: StandIn
) -> None:
    """Its calls are orphans, unless it runs in the context of a run."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        finish(Overriding(client, ORPHAN))
        finish(Carrying(client, "ada", "ranking"))

    assert_calls_match_ledger(recorded, ledger)


@pytest.mark.parametrize(("late_seconds", "owner"), [(60.0, ("ada", "ranking")), (0.0, (ORPHAN, "ranking"))])
def test_thread_that_outlives_its_run_belongs_to_it_for_a_while(
    record: Record, client: OpenAI, ledger: StandIn, late_seconds: float, owner: tuple[str, str]
) -> None:
    """Calls within `late_seconds` of the end count in the run; later ones are orphans."""
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

    assert_calls_match_ledger(recorded, ledger)
