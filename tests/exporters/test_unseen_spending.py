"""Processes that die: what they may have spent unobserved makes the cost of their runs incomplete."""

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
from tests.exporters.makers import SOME_HOSTS, Host
from tests.exporters.test_writer import in_child
from tests.waiting import until

HOSTS = SOME_HOSTS

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Recorded:
    """An application under telemetry that makes calls to OpenAI, which are answered."""

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
        """Take over from dead processes, as the next process would."""
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
    """Fork a child that works and ends without exit hooks."""
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
    """Return whether there is a run of this kind with a complete cost."""
    return any(row["cost_complete"] for row in host.rows("telemetry_runs", kind=kind))


def run_row(host: Host, kind: str = "analysis") -> dict[str, Any]:
    return host.row("telemetry_runs", kind=kind)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("lives", [0, 0.8], ids=["at once", "after a checkpoint"])
def test_calls_of_a_child_that_dies_are_unfinished(
    host: Host, recorded: Recorded, end: str, lives: float
) -> None:
    """It was forked inside the run; the run itself ends as completed."""

    def work() -> None:
        recorded.call(3)
        time.sleep(lives)
        recorded.call(2)

    with telemetry.run("analysis", candidates=1):
        recorded.call(2)
        forked(work, ENDS[end])

    until(lambda: [row for row in host.rows("telemetry_runs") if row["ended_at"] is not None])
    until(lambda: run_row(host)["unfinished"] > 0 or run_row(host)["api_calls"] == 7)
    run = run_row(host)
    assert run["status"] == "completed"
    assert bool(run["cost_complete"]) == (run["api_calls"] == 7)  # a slow child may have saved all its calls
    assert list(broken(engine := create_engine(host.url, for_reading=True))) == []
    engine.dispose()


def test_a_child_that_dies_after_the_run_makes_its_cost_incomplete(host: Host, recorded: Recorded) -> None:
    """The cost was complete when the run ended."""
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

    assert is_complete(host) == (run_row(host)["api_calls"] == 6)
    for end in go:
        os.close(end)


def test_a_child_that_ends_normally_leaves_the_cost_complete(host: Host, recorded: Recorded) -> None:
    """It delivers its calls."""
    with telemetry.run("analysis", candidates=1):
        recorded.call(2)
        in_child(lambda: recorded.call(5))

    until(lambda: [row for row in host.rows("telemetry_runs") if row["ended_at"] is not None])
    until(lambda: (run_row(host)["api_calls"], bool(run_row(host)["cost_complete"])) == (7, True))


@pytest.mark.parametrize("end", ENDS)
def test_a_child_without_calls_leaves_the_cost_complete(host: Host, recorded: Recorded, end: str) -> None:
    """It does not matter how it ends."""
    with telemetry.run("analysis", candidates=1):
        recorded.call(2)
        forked(lambda: None, ENDS[end])

    until(lambda: [row for row in host.rows("telemetry_runs") if row["ended_at"] is not None])
    recorded.recover()
    assert (run_row(host)["api_calls"], bool(run_row(host)["cost_complete"])) == (2, True)


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_dies_between_calls_leaves_its_run_incomplete(
    host: Host, recorded: Recorded, end: str
) -> None:
    """No call was open, but what followed the last checkpoint is unknown."""

    def work() -> None:
        with telemetry.run("analysis", candidates=1):
            recorded.call(4)
            until(lambda: [row["api_calls"] for row in host.rows("telemetry_runs")] == [4])
            recorded.call(4)
            ENDS[end]()

    forked(work)
    recorded.recover()

    run = run_row(host)
    assert (run["status"], run["unclosed"], bool(run["cost_complete"])) == ("interrupted", 1, False)


def test_checkpoints_are_written_while_the_tables_are_locked(host: Host, recorded: Recorded) -> None:
    """They are on the disk, so that a killed process has its calls up to the last one."""
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

    run = run_row(host)
    assert 10 <= run["api_calls"] <= 25
    assert (run["status"], bool(run["cost_complete"])) == ("interrupted", False)


def test_a_process_that_dies_makes_its_orphan_run_incomplete(host: Host, recorded: Recorded) -> None:
    """Its calls outside of runs after the last checkpoint are unknown."""
    forked(lambda: recorded.call(5), ENDS["os._exit"])
    recorded.recover()

    run = run_row(host, "orphan")
    assert run["status"] == "completed"
    assert bool(run["cost_complete"]) == (run["api_calls"] == 5)  # a slow child may have saved all its calls


def test_an_orphan_run_without_open_calls_is_complete(host: Host, recorded: Recorded) -> None:
    """It is incomplete while a call is under way."""
    with recorded.calling():
        until(lambda: [row["unfinished"] for row in host.rows("telemetry_runs")] == [1])
        assert not is_complete(host, "orphan")
    until(lambda: is_complete(host, "orphan"))
    recorded.call(3)
    until(lambda: run_row(host, "orphan")["api_calls"] == 4 and is_complete(host, "orphan"))


class Late:
    """A thread that makes one call in the context of a run, and gets its answer at `end`."""

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


def test_a_call_after_the_run_makes_it_incomplete_until_it_ends(host: Host, recorded: Recorded) -> None:
    """A thread makes the call in the context of the run."""
    with telemetry.run("analysis", candidates=1):
        recorded.call()
        late = Late(recorded)
    until(lambda: is_complete(host))
    late.begin()
    until(lambda: not is_complete(host))
    late.end()

    until(lambda: run_row(host)["api_calls"] == 2 and is_complete(host))


@pytest.mark.parametrize("begins", ["before the run ended", "after it"])
def test_a_call_that_is_open_at_the_exit_is_unfinished(host: Host, recorded: Recorded, begins: str) -> None:
    """A daemon thread makes it; what it cost is unknown after the process has ended."""
    with telemetry.run("analysis", candidates=1):
        recorded.call()
        late = Late(recorded)
        if begins == "before the run ended":
            late.begin()
    if begins == "after it":
        late.begin()
    recorded.pipeline.shutdown(10)

    assert (run_row(host)["unfinished"], is_complete(host)) == (1, False)
    late.end()


def test_a_takeover_counts_unclosed_runs(host: Host, recorded: Recorded) -> None:
    """They are in the metrics of the process that takes over."""

    def work() -> None:
        with telemetry.run("analysis"):
            recorded.call()
            os._exit(0)

    forked(work)
    assert recorded.pipeline.writer is not None
    recorded.pipeline.writer.recover(10)

    counted = recorded.pipeline.metrics.totals.read(c.OPENAI_UNACCOUNTED)
    assert [count for labels, count in counted if labels == {"reason": "unclosed"}] == [1]


def test_an_open_call_whose_spool_is_lost_is_unfinished(host: Host, recorded: Recorded) -> None:
    """Only the database has heard of the call; the daily check notices that its process is dead."""

    def work() -> None:
        with recorded.calling():
            until(lambda: host.rows("telemetry_runs"))
            os._exit(0)

    forked(work)
    host.execute("UPDATE telemetry_fragments SET seen_at = '2026-01-01'")
    shutil.rmtree(recorded.settings.spool_dir, ignore_errors=True)
    with HealthCheck(recorded.settings) as check:
        check.tidy()

    assert (run_row(host, "orphan")["unfinished"], is_complete(host, "orphan")) == (1, False)
    assert host.row("telemetry_fragments")["interrupted_seq"] is not None
