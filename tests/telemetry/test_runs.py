"""Runs: how they begin and end, and what is stored of them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import math
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI

import telemetry
from telemetry._internal.guard import internal_errors
from tests.telemetry.recordings import BROKEN, Broken, Recorded, ask, calls_by_stage


def test_run_as_a_block(recorded: Recorded) -> None:
    """A run has the facts given at its start, and is completed when its block is left."""
    with telemetry.run(
        "intake", user_id=7, subject=("draft", 12), candidates=3, criteria=2, jd=(10, 9)
    ) as run:
        run.link(analysis_id=5)
    rollup = recorded.run()

    assert (rollup.status, rollup.analysis_id, rollup.root.run_id) == ("completed", 5, run.run_id)
    root = rollup.root
    assert (root.kind, root.user_id, root.candidates, root.criteria) == ("intake", 7, 3, 2)
    assert (root.jd_bytes, root.jd_characters) == (10, 9)
    assert root.subject is not None
    assert "draft" in root.subject and "12" in root.subject


def test_run_as_a_handle(recorded: Recorded) -> None:
    """A run needs no block: it counts what happens between start and finish."""
    run = telemetry.start_run("intake")
    telemetry.count("app_retries")
    run.describe(candidates=4)
    run.finish()
    telemetry.count("app_retries")
    rollup = recorded.run()

    assert (rollup.status, rollup.counters, rollup.root.candidates) == ("completed", {"app_retries": 1}, 4)


def test_current_run_is_the_run_of_the_block(recorded: Recorded) -> None:
    """Code without a handle can get its run, and end it."""
    assert telemetry.current_run() is None
    with telemetry.run("analysis") as run:
        current = telemetry.current_run()
        assert current is not None
        assert current.run_id == run.run_id
        current.link(analysis_id=8)
        current.fail("Broken")
        assert telemetry.current_run() is None
    assert telemetry.current_run() is None

    assert (recorded.run().status, recorded.run().analysis_id) == ("failed", 8)


def test_context_that_outlives_its_run_has_no_current_run(recorded: Recorded) -> None:
    """As in a thread that was started in the run and goes on after it."""
    with telemetry.run("analysis"):
        copied = contextvars.copy_context()
        assert copied.run(telemetry.current_run) is not None

    assert copied.run(telemetry.current_run) is None


def test_run_and_start_run_have_the_same_signature() -> None:
    """Editors and type checkers see the same arguments of `run` and `start_run`."""
    parameters = [inspect.signature(function).parameters for function in (telemetry.run, telemetry.start_run)]
    assert parameters[0] == parameters[1]


class Five:
    """An integer type of another library, such as NumPy's."""

    def __index__(self) -> int:
        return 5


@pytest.mark.parametrize("five", [5, 5.0, "5", Decimal(5), Five()], ids=lambda five: type(five).__name__)
def test_integers_of_any_type_are_accepted(recorded: Recorded, five: Any) -> None:
    """An integer may be a string of digits, as user ids of Flask-Login are."""
    with telemetry.run("analysis", user_id=five, analysis_id=five, jd=(five, five)) as run:
        run.describe(candidates=five, criteria=five)
        telemetry.count("app_retries", five)
        run.link(five)
    rollup = recorded.run()
    root = rollup.root

    assert (root.user_id, rollup.analysis_id, root.candidates, root.criteria) == (5, 5, 5, 5)
    assert (root.jd_bytes, root.jd_characters, rollup.counters) == (5, 5, {"app_retries": 5})


@pytest.mark.parametrize(
    "odd",
    [math.nan, 5.5, "five", uuid4(), 2**70, 10**5000, [5], object()],
    ids=["nan", "fraction", "word", "uuid", "large", "huge", "list", "object"],
)
def test_values_that_are_no_integers_are_left_out(recorded: Recorded, odd: Any) -> None:
    """The run is recorded without the value, and the error is counted."""
    before = internal_errors().get("api", 0)
    with telemetry.run("analysis", user_id=odd, candidates=2, criteria=odd, jd=(odd, 9)) as run:
        run.describe(candidates=odd)
        telemetry.count("app_retries", odd)
        run.link(odd)
    rollup = recorded.run()
    root = rollup.root

    assert (rollup.status, root.user_id, rollup.analysis_id, root.candidates) == ("completed", None, None, 2)
    assert (root.criteria, root.jd_bytes, root.jd_characters, rollup.counters) == (None, None, 9, {})
    assert internal_errors()["api"] > before


@pytest.mark.parametrize(
    ("end", "status"), [("finish", "completed"), ("fail", "failed"), ("cancel", "cancelled")]
)
def test_only_the_first_end_counts(recorded: Recorded, end: str, status: str) -> None:
    """A run keeps its first end, whatever is called afterwards."""
    run = telemetry.start_run("intake")
    getattr(run, end)()
    run.finish()
    run.fail(Broken())
    run.cancel()
    rollup = recorded.run()

    assert (rollup.status, rollup.errors) == (status, {})


def test_fail_records_only_the_type_of_the_error(recorded: Recorded) -> None:
    """The message of the error is not stored."""
    run = telemetry.start_run("intake")
    run.fail(Broken("ada@example.com could not be read"))
    rollup = recorded.run()

    assert (rollup.status, rollup.errors) == ("failed", {("unattributed", BROKEN): 1})


def test_fail_current_run_needs_no_handle(recorded: Recorded) -> None:
    """The run stays failed, although its block is left normally."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        telemetry.fail_current_run(Broken())
    rollup = recorded.run()

    assert (rollup.status, rollup.errors) == ("failed", {("ranking", BROKEN): 1})


@pytest.mark.parametrize(
    ("error", "status", "errors"),
    [
        (Broken("text"), "failed", 1),
        (SystemExit(1), "interrupted", 0),
        (KeyboardInterrupt(), "interrupted", 0),
        (asyncio.CancelledError(), "cancelled", 0),
    ],
    ids=["exception", "exit", "interrupt", "cancellation"],
)
def test_exceptions_pass_unchanged(
    recorded: Recorded, client: OpenAI, error: BaseException, status: str, errors: int
) -> None:
    """The exception that leaves a run is the object that was raised; it counts once, in its stage."""
    with (
        pytest.raises(type(error)) as caught,
        telemetry.run("analysis", candidates=1),
        telemetry.stage("ranking"),
        telemetry.document("cv.pdf"),
        telemetry.stage("insights"),
    ):
        ask(client)
        raise error
    rollup = recorded.run()

    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert rollup.status == status
    assert sum(rollup.errors.values()) == errors
    assert {stage for stage, _ in rollup.errors} <= {"insights"}
    assert rollup.total.calls == 1
    assert rollup.cost_complete


def test_one_exception_in_two_runs_counts_in_both(recorded: Recorded) -> None:
    """An error that is raised again in another run counts as an error of that run too."""
    error = Broken()
    for _ in range(2):
        with pytest.raises(Broken), telemetry.run("intake"):
            raise error

    assert [run.errors for run in recorded.runs()] == [{("unattributed", BROKEN): 1}] * 2


def test_a_handle_that_is_dropped_is_interrupted(recorded: Recorded) -> None:
    """A run whose handle is garbage-collected does not stay open for ever."""
    contextvars.copy_context().run(telemetry.start_run, "analysis", candidates=1)
    gc.collect()

    assert not recorded.pipeline.recorder.fragments.has_open_runs
    assert recorded.run().status == "interrupted"


def test_an_open_run_is_interrupted_when_the_process_ends(recorded: Recorded, client: OpenAI) -> None:
    """A process that shuts down delivers what its open runs spent."""
    run = telemetry.start_run("analysis", candidates=1)
    with telemetry.stage("ranking"):
        ask(client)
    rollup = recorded.run()

    assert (rollup.status, calls_by_stage(rollup)) == ("interrupted", {"ranking": 1})
    run.finish()


def test_a_link_may_come_after_the_end(recorded: Recorded) -> None:
    """The host may commit its row after the run ended."""
    run = telemetry.start_run("intake")
    run.finish()
    run.link(analysis_id=5)

    assert recorded.run().analysis_id == 5


def test_detached_run_is_resumed_by_its_carrier(recorded: Recorded) -> None:
    """A dispatcher detaches its run, and the process that resumes it adds to it and ends it."""
    run = telemetry.start_run("analysis", candidates=1)
    telemetry.count("app_retries")
    carrier = run.carrier()
    run.detach()
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")
    rollup = recorded.run()

    assert joined.run_id == run.run_id
    assert (rollup.status, rollup.counters) == ("completed", {"app_retries": 2})


@pytest.mark.parametrize(
    "carrier",
    [
        {},
        {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"},
        {"kind": "analysis"},
        {"kind": "analysis", "run_id": "a" * 500},
        {"kind": "analysis", "run_id": "a" * 31 + "\0"},
        {"kind": "analysis", "run_id": "a" * 32 + "\n"},
        {"kind": "analysis", "run_id": "A" * 32},
        {"kind": "analysis", "run_id": "\u0661" * 32},
        {"kind": "analysis", "run_id": ["a" * 32]},
        {"kind": ["analysis"], "run_id": "a" * 32},
        "a" * 32,
        None,
    ],
    ids=str,
)
def test_a_foreign_carrier_joins_nothing(recorded: Recorded, carrier: Any) -> None:
    """Only a carrier of telemetry's own names a run."""
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")

    assert joined.run_id is None
    assert recorded.runs() == []


def test_carrier_with_a_malformed_trace_still_joins_its_run(recorded: Recorded) -> None:
    """The run is resumed by its own id; only the trace is lost."""
    carrier: Any = {"kind": "analysis", "run_id": "a" * 32, "traceparent": 5, "tracestate": ["x"]}
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")

    assert (joined.run_id, recorded.run().counters) == ("a" * 32, {"app_retries": 1})
