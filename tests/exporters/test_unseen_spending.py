"""Processes that are gone: what they may have spent and nobody saw is never part of a complete cost."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import telemetry
from exporters.integrity.validation import broken
from exporters.process.pipeline import Pipeline
from exporters.process.spool_keeper import SpoolKeeper
from exporters.sql.database.engine import create_engine
from exporters.upkeep.health_log import HealthCheck
from telemetry import conventions as c
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import SOME_HOSTS, Host, until
from tests.exporters.test_writer import in_child

HOSTS = SOME_HOSTS

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Recorded:
    """An application that records, and makes calls to OpenAI that are answered."""

    def __init__(self, settings: Settings, provider: TracerProvider, pipeline: Pipeline) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self._tracer = provider.get_tracer(c.GENAI_SCOPE)

    def call(self, times: int = 1) -> None:
        for _ in range(times):
            with self.calling():
                pass

    @contextmanager
    def calling(self) -> Iterator[None]:
        attributes: dict[str, Any] = {
            c.Attribute.OPERATION: "chat",
            c.Attribute.REQUEST_MODEL: "gpt-4o-mini",
            c.Attribute.INPUT_TOKENS: 10,
            c.Attribute.OUTPUT_TOKENS: 1,
            c.Attribute.ATTEMPT_STATUSES: ["200"],
        }
        with self._tracer.start_as_current_span("chat", attributes=attributes):
            yield

    def recover(self) -> None:
        """Do what an operator does, or the next process that starts."""
        keeper = SpoolKeeper(self.settings)
        until(lambda: keeper.recover(10))


@pytest.fixture
def recorded(host: Host, tmp_path: Path) -> Iterator[Recorded]:
    settings = Settings(
        database_url=host.url, spool_dir=tmp_path / "spool", hmac_key="k", shutdown_seconds=60
    )
    provider = TracerProvider(shutdown_on_exit=False)
    with recording(settings, provider) as pipeline:
        yield Recorded(settings, provider, pipeline)


def forked(work: Callable[[], object], end: Callable[[], object] = lambda: os._exit(0)) -> None:
    """Let a child work, and end without any hook."""
    child = os.fork()
    if child == 0:
        try:
            work()
            end()
        finally:
            os._exit(3)
    os.waitpid(child, 0)


ENDS: dict[str, Callable[[], object]] = {
    "os._exit": lambda: os._exit(0),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "os.exec": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
}


def is_complete(host: Host, kind: str = "analysis") -> bool:
    """Whether the run is there, over, and its cost known."""
    return any(row["cost_complete"] for row in host.rows("telemetry_runs", kind=kind))


def only(host: Host, kind: str = "analysis") -> dict[str, Any]:
    return host.row("telemetry_runs", kind=kind)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("lives", [0, 0.8], ids=["at once", "after a checkpoint"])
def test_a_child_that_dies_with_what_it_spent(host: Host, recorded: Recorded, end: str, lives: float) -> None:
    """It was forked inside the run, made calls and is gone; the run itself ends as if nothing had been."""

    def work() -> None:
        recorded.call(3)
        time.sleep(lives)
        recorded.call(2)

    with telemetry.run("analysis", candidates=1):
        recorded.call(2)
        forked(work, ENDS[end])

    until(lambda: [row for row in host.rows("telemetry_runs") if row["ended_at"] is not None])
    until(lambda: only(host)["unfinished"] > 0 or only(host)["api_calls"] == 7)
    found = only(host)
    assert found["status"] == "completed"
    assert bool(found["cost_complete"]) == (found["api_calls"] == 7)  # a slow child may have saved all
    assert list(broken(engine := create_engine(host.url, for_reading=True))) == []
    engine.dispose()


def test_a_child_that_dies_after_the_run(host: Host, recorded: Recorded) -> None:
    """What was complete when the run ended is not any more."""
    go = os.pipe()
    with telemetry.run("analysis", candidates=1):
        recorded.call()
        child = os.fork()
        if child == 0:
            os.read(go[0], 1)
            recorded.call(5)
            os._exit(0)
    until(lambda: is_complete(host))
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    recorded.recover()

    assert is_complete(host) == (only(host)["api_calls"] == 6)
    for end in go:
        os.close(end)


def test_a_child_that_ends_in_order(host: Host, recorded: Recorded) -> None:
    """It delivers what it did, and nothing is unknown."""
    with telemetry.run("analysis", candidates=1):
        recorded.call(2)
        in_child(lambda: recorded.call(5))

    until(lambda: [row for row in host.rows("telemetry_runs") if row["ended_at"] is not None])
    until(lambda: (only(host)["api_calls"], bool(only(host)["cost_complete"])) == (7, True))


@pytest.mark.parametrize("end", ENDS)
def test_a_child_that_made_no_calls(host: Host, recorded: Recorded, end: str) -> None:
    """It spoils nothing."""
    with telemetry.run("analysis", candidates=1):
        recorded.call(2)
        forked(lambda: None, ENDS[end])

    until(lambda: [row for row in host.rows("telemetry_runs") if row["ended_at"] is not None])
    recorded.recover()
    assert (only(host)["api_calls"], bool(only(host)["cost_complete"])) == (2, True)


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_dies_between_calls(host: Host, recorded: Recorded, end: str) -> None:
    """No call was open, and nobody knows what came after the last checkpoint: the run is not complete."""

    def work() -> None:
        with telemetry.run("analysis", candidates=1):
            recorded.call(4)
            until(lambda: [row["api_calls"] for row in host.rows("telemetry_runs")] == [4])
            recorded.call(4)
            ENDS[end]()

    forked(work)
    recorded.recover()

    found = only(host)
    assert (found["status"], found["unclosed"], bool(found["cost_complete"])) == ("interrupted", 1, False)


def test_a_process_that_is_killed_while_our_tables_are_locked(host: Host, recorded: Recorded) -> None:
    """What it has done is on the disk, whatever the database does meanwhile."""
    lock = "LOCK TABLE telemetry_runs" if host.is_postgresql else "UPDATE telemetry_runs SET version = 0"
    with telemetry.run("intake"):
        pass
    until(lambda: is_complete(host, "intake"))

    def work() -> None:
        with telemetry.run("analysis", candidates=1):
            for _ in range(25):
                recorded.call()
                time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)

    with host.holding(lock):
        forked(work)
    recorded.recover()

    found = only(host)
    assert 10 <= found["api_calls"] <= 25
    assert (found["status"], bool(found["cost_complete"])) == ("interrupted", False)


def test_calls_outside_of_runs(host: Host, recorded: Recorded) -> None:
    """The day of a process that died after its last checkpoint is a lower bound, too."""
    forked(lambda: recorded.call(5), ENDS["os._exit"])
    recorded.recover()

    found = only(host, "orphan")
    assert found["status"] == "completed"
    assert bool(found["cost_complete"]) == (found["api_calls"] == 5)  # as above


def test_calls_outside_of_runs_that_were_all_seen(host: Host, recorded: Recorded) -> None:
    """The day is complete as soon as no call is under way."""
    with recorded.calling():
        until(lambda: [row["unfinished"] for row in host.rows("telemetry_runs")] == [1])
        assert not is_complete(host, "orphan")
    until(lambda: is_complete(host, "orphan"))
    recorded.call(3)
    until(lambda: only(host, "orphan")["api_calls"] == 4 and is_complete(host, "orphan"))


class Late:
    """A thread that makes one call in the context of a run, and does not get its answer before it is to."""

    def __init__(self, recorded: Recorded) -> None:
        self._begun, self._go = threading.Event(), threading.Event()
        self._recorded = recorded
        self._thread = threading.Thread(target=copy_context().run, args=(self._work,), daemon=True)

    def begin(self) -> None:
        self._thread.start()
        assert self._begun.wait(60)

    def end(self) -> None:
        self._go.set()
        self._thread.join(60)

    def _work(self) -> None:
        with self._recorded.calling():
            self._begun.set()
            self._go.wait(60)


def test_a_thread_that_calls_on_after_the_run(host: Host, recorded: Recorded) -> None:
    """While its call is under way the run is a lower bound; once it is answered, no more."""
    with telemetry.run("analysis", candidates=1):
        recorded.call()
        late = Late(recorded)
    until(lambda: is_complete(host))
    late.begin()
    until(lambda: not is_complete(host))
    late.end()

    until(lambda: only(host)["api_calls"] == 2 and is_complete(host))


@pytest.mark.parametrize("begins", ["before the run ended", "after it"])
def test_a_thread_that_still_runs_at_the_exit(host: Host, recorded: Recorded, begins: str) -> None:
    """Daemon threads and others: the process is gone, and what their call came to nobody knows."""
    with telemetry.run("analysis", candidates=1):
        recorded.call()
        late = Late(recorded)
        if begins == "before the run ended":
            late.begin()
    if begins == "after it":
        late.begin()
    recorded.pipeline.shutdown(10)

    assert (only(host)["unfinished"], is_complete(host)) == (1, False)
    late.end()


def test_what_a_dead_process_left_is_counted(host: Host, recorded: Recorded) -> None:
    """The process that finds it out says so in its metrics."""

    def work() -> None:
        with telemetry.run("analysis"):
            recorded.call()
            os._exit(0)

    forked(work)
    assert recorded.pipeline.writer is not None
    recorded.pipeline.writer.recover(10)

    counted = recorded.pipeline.metrics.totals.read(c.OPENAI_UNACCOUNTED)
    assert [count for labels, count in counted if labels == {"reason": "unclosed"}] == [1]


def test_the_disk_goes_with_a_process_that_calls_on(host: Host, recorded: Recorded) -> None:
    """Of a call after the end of its run the database alone knows; the daily check misses its process."""

    def work() -> None:
        with recorded.calling():
            until(lambda: host.rows("telemetry_runs"))
            os._exit(0)

    forked(work)
    host.execute("UPDATE telemetry_fragments SET seen_at = '2026-01-01'")
    shutil.rmtree(recorded.settings.spool_dir, ignore_errors=True)
    with HealthCheck(recorded.settings) as check:
        check.tidy()

    assert (only(host, "orphan")["unfinished"], is_complete(host, "orphan")) == (1, False)
    assert host.row("telemetry_fragments")["interrupted_seq"] is not None
