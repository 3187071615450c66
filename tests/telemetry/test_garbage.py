"""The garbage collector may end spans in any thread at any moment: nothing hangs, and nothing is lost."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

import telemetry
from examples.screener.standin.client import StandIn
from exporters.metrics.totals import Totals
from exporters.rollup import accumulator
from exporters.sql.schema import tables
from telemetry._internal.context import run_in, stage_in
from telemetry.conventions import GENAI_SCOPE, Attribute
from tests import fresh
from tests.end_to_end.processes import ROOT, environment
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded

HANGS_AFTER = 30
"""Seconds after which a thread is taken to hang."""


class Stream:
    """An answer that is never read: it ends its call when it is finalized, as those of OpenAI do."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._myself = self  # a cycle, so that only the garbage collector frees it

    def __del__(self) -> None:
        self._span.end()


def abandon(recorded: Recorded, spans: list[Span] | None = None) -> None:
    """Begin a call and drop its answer; ``spans`` keeps the span alive, as a Context in use may."""
    tracer = recorded.provider.get_tracer(GENAI_SCOPE)
    attributes: dict[str, str | int] = {
        Attribute.OPERATION: "chat",
        Attribute.REQUEST_MODEL: "gpt-4o-mini",
        Attribute.INPUT_TOKENS: 10,
        Attribute.OUTPUT_TOKENS: 1,
    }
    span = tracer.start_span("chat", attributes=attributes)
    Stream(span)
    if spans is not None:
        spans.append(span)


def in_time(work: Callable[[], None]) -> None:
    """Do the work in a daemon thread, which may hang without blocking the tests."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HANGS_AFTER)
    assert not thread.is_alive(), "it hangs"
    assert failures == []


@pytest.fixture
def recorded(record: Record) -> Recorded:
    return record(TracerProvider(shutdown_on_exit=False), checkpoint_seconds=0.05, shutdown_seconds=20)


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    """Collect only when the test says so, and only what it makes."""
    gc.disable()
    gc.freeze()
    yield
    gc.set_threshold(700, 10, 10)
    gc.enable()


@pytest.mark.parametrize("spans", [None, []], ids=["", "kept"])
def test_call_collected_while_its_run_closes_is_counted(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, spans: list[Span] | None
) -> None:
    """A call that ends while the final snapshot is being copied still belongs to its run."""

    def copy_and_collect(*args: Any, **known: Any) -> Any:
        gc.collect()
        return replace(*args, **known)

    def work() -> None:
        with telemetry.run("analysis"):
            abandon(recorded, spans)
            monkeypatch.setattr(accumulator, "replace", copy_and_collect)
        monkeypatch.undo()

    in_time(work)
    recorded.pipeline.shutdown(20)
    (run,) = recorded.rows(tables.runs)
    assert (run["api_calls"], run["input_tokens"], run["unfinished"]) == (1, 10, 0)


@pytest.mark.parametrize("spans", [None, []], ids=["", "kept"])
def test_call_collected_while_totals_are_locked_is_counted(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, spans: list[Span] | None
) -> None:
    """The thread that holds the lock of the totals does not wait for it."""
    capped = Totals._within_cap

    def cap_and_collect(self: Totals, *args: object) -> object:
        gc.collect()
        return capped(self, *args)  # type: ignore[arg-type]

    def work() -> None:
        with telemetry.run("analysis"):
            abandon(recorded, spans)
            monkeypatch.setattr(Totals, "_within_cap", cap_and_collect)
            telemetry.record_fallback(ValueError("of a kind that was not met before"))
        monkeypatch.undo()

    in_time(work)
    recorded.pipeline.shutdown(20)
    assert sum(run["api_calls"] for run in recorded.rows(tables.runs)) == 1


def test_abandoned_generator_leaves_its_stage_and_document(recorded: Recorded) -> None:
    """It leaves them when it is finalized, so that no stage is current after the run."""

    def work_on(holder: list[object]) -> Iterator[None]:
        with telemetry.stage("ranking"), telemetry.document("cv.pdf", characters=9):
            yield
            holder.clear()

    def work() -> None:
        with telemetry.run("analysis"):
            holder: list[object] = []
            steps = work_on(holder)
            holder.append(steps)
            next(steps)
            del steps, holder
            gc.collect()
        assert (run_in(), stage_in()) == (None, None)

    in_time(work)
    recorded.pipeline.shutdown(20)
    (document,) = recorded.rows(tables.documents)
    assert document["characters"] == 9


@pytest.mark.parametrize("spans", [None, []], ids=["", "kept"])
def test_collections_at_any_allocation_lose_no_call(recorded: Recorded, spans: list[Span] | None) -> None:
    """With a collection at nearly every allocation each call is counted once, wherever it ended."""

    def work() -> None:
        gc.set_threshold(2, 2, 2)
        gc.enable()
        for _ in range(30):
            with telemetry.run("analysis", user_id=1), telemetry.stage("ranking"):
                for number in range(3):
                    abandon(recorded, spans)
                    telemetry.count("fallbacks")
                    with telemetry.document(f"{number}.pdf") as document:
                        document.score(0.5)
        gc.set_threshold(700, 10, 10)

    in_time(work)
    gc.collect()
    assert recorded.pipeline.shutdown(20)
    runs = recorded.rows(tables.runs)
    assert sum(run["api_calls"] for run in runs) == 90
    assert sum(run["input_tokens"] for run in runs) == 900
    assert [run["n_scored"] for run in runs] == [3] * 30


def test_collections_while_a_context_variable_is_set_lose_no_call(
    service: StandIn, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """A process whose abandoned streams are finalized at that moment does not crash, and counts each call."""
    path = tmp_path / "host.sqlite"
    shutil.copy(migrated_sqlite, path)
    settings = {"TELEMETRY_DATABASE_URL": f"sqlite:///{path}", "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool")}
    command = ("-m", "tests.telemetry.abandoning", service.url, "6")

    done = fresh.run(*command, cwd=ROOT, env=environment(**settings))

    assert done.returncode == 0, done.stderr
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        calls = connection.scalar(sa.select(sa.func.sum(tables.runs.c.api_calls)))
    assert calls == int(done.stdout) > 0


def test_finalizer_with_its_own_spans_leaves_the_current_span_alone(recorded: Recorded) -> None:
    """Each span is current in its block; where the collector ran the current span is the same as before."""
    tracer = recorded.provider.get_tracer("host")
    current: list[tuple[Span, Span]] = []

    class Closing:
        def __init__(self) -> None:
            self._myself = self

        def __del__(self) -> None:
            for name in ("first", "second"):
                with tracer.start_as_current_span(name) as outer:
                    with tracer.start_as_current_span("inner") as inner:
                        current.append((trace.get_current_span(), inner))
                    current.append((trace.get_current_span(), outer))

    with tracer.start_as_current_span("around") as around:
        Closing()
        gc.collect()
        current.append((trace.get_current_span(), around))

    assert [actual for actual, _ in current] == [expected for _, expected in current]
    assert len(current) == 5


def test_call_collected_after_its_run_is_counted(recorded: Recorded) -> None:
    """It counts in its run, even if nothing else is recorded afterwards."""
    with telemetry.run("analysis"):
        abandon(recorded)
    gc.collect()
    recorded.pipeline.shutdown(20)
    (run,) = recorded.rows(tables.runs)
    assert (run["api_calls"], run["unfinished"], bool(run["cost_complete"])) == (1, 0, True)
