"""Runs: how they begin and end, and what stands in the database afterwards."""

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
    """A run knows what it was told at its start, and is complete when its block is left."""
    with telemetry.run(
        "intake", user_id=7, subject=("draft", 12), candidates=3, criteria=2, jd=(10, 9)
    ) as run:
        run.link(analysis_id=5)
    found = recorded.run()

    assert (found.status, found.analysis_id, found.root.run_id) == ("completed", 5, run.run_id)
    told = found.root
    assert (told.kind, told.user_id, told.candidates, told.criteria) == ("intake", 7, 3, 2)
    assert (told.jd_bytes, told.jd_characters) == (10, 9)
    assert told.subject is not None
    assert "draft" in told.subject and "12" in told.subject


def test_run_as_a_handle(recorded: Recorded) -> None:
    """A run needs no block: what happens between start and finish belongs to it, and no more."""
    run = telemetry.start_run("intake")
    telemetry.count("app_retries")
    run.describe(candidates=4)
    run.finish()
    telemetry.count("app_retries")
    found = recorded.run()

    assert (found.status, found.counters, found.root.candidates) == ("completed", {"app_retries": 1}, 4)


def test_current_run(recorded: Recorded) -> None:
    """Code that was passed no handle finds the run it belongs to, and ends it once and for all."""
    assert telemetry.current_run() is None
    with telemetry.run("analysis") as run:
        found = telemetry.current_run()
        assert found is not None
        assert found.run_id == run.run_id
        found.link(analysis_id=8)
        found.fail("Broken")
        assert telemetry.current_run() is None
    assert telemetry.current_run() is None

    assert (recorded.run().status, recorded.run().analysis_id) == ("failed", 8)


def test_current_run_of_another_thread(recorded: Recorded) -> None:
    """A context that outlives its run has none."""
    with telemetry.run("analysis"):
        copied = contextvars.copy_context()
        assert copied.run(telemetry.current_run) is not None

    assert copied.run(telemetry.current_run) is None


def test_run_names_what_it_takes() -> None:
    """Editors and type checkers see the same arguments of `run` and `start_run`."""
    parameters = [inspect.signature(function).parameters for function in (telemetry.run, telemetry.start_run)]
    assert parameters[0] == parameters[1]


class Five:
    """An integer of another library's, as NumPy has them."""

    def __index__(self) -> int:
        return 5


@pytest.mark.parametrize("five", [5, 5.0, "5", Decimal(5), Five()], ids=lambda five: type(five).__name__)
def test_numbers_of_any_type(recorded: Recorded, five: Any) -> None:
    """What is an integer is one, whatever its type: Flask-Login's ids of users are texts."""
    with telemetry.run("analysis", user_id=five, analysis_id=five, jd=(five, five)) as run:
        run.describe(candidates=five, criteria=five)
        telemetry.count("app_retries", five)
        run.link(five)
    found = recorded.run()
    told = found.root

    assert (told.user_id, found.analysis_id, told.candidates, told.criteria) == (5, 5, 5, 5)
    assert (told.jd_bytes, told.jd_characters, found.counters) == (5, 5, {"app_retries": 5})


@pytest.mark.parametrize(
    "odd",
    [math.nan, 5.5, "five", uuid4(), 2**70, 10**5000, [5], object()],
    ids=["nan", "fraction", "word", "uuid", "large", "huge", "list", "object"],
)
def test_what_is_no_number_is_left_out(recorded: Recorded, odd: Any) -> None:
    """The run is kept without it, and the mistake is reported."""
    before = internal_errors().get("api", 0)
    with telemetry.run("analysis", user_id=odd, candidates=2, criteria=odd, jd=(odd, 9)) as run:
        run.describe(candidates=odd)
        telemetry.count("app_retries", odd)
        run.link(odd)
    found = recorded.run()
    told = found.root

    assert (found.status, told.user_id, found.analysis_id, told.candidates) == ("completed", None, None, 2)
    assert (told.criteria, told.jd_bytes, told.jd_characters, found.counters) == (None, None, 9, {})
    assert internal_errors()["api"] > before


@pytest.mark.parametrize(
    ("end", "status"), [("finish", "completed"), ("fail", "failed"), ("cancel", "cancelled")]
)
def test_only_the_first_end_counts(recorded: Recorded, end: str, status: str) -> None:
    """A run that has ended stays as it ended, whatever else is called."""
    run = telemetry.start_run("intake")
    getattr(run, end)()
    run.finish()
    run.fail(Broken())
    run.cancel()
    found = recorded.run()

    assert (found.status, found.errors) == (status, {})


def test_fail_keeps_the_type_of_the_error_alone(recorded: Recorded) -> None:
    """A run that failed tells the type of its error; the text stays in the process."""
    run = telemetry.start_run("intake")
    run.fail(Broken("ada@example.com could not be read"))
    found = recorded.run()

    assert (found.status, found.errors) == ("failed", {("unattributed", BROKEN): 1})


def test_fail_current_run(recorded: Recorded) -> None:
    """Code that holds no handle may say that the run failed; the way its block is left changes nothing."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        telemetry.fail_current_run(Broken())
    found = recorded.run()

    assert (found.status, found.errors) == ("failed", {("ranking", BROKEN): 1})


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
    """The exception that leaves a run is the very one that was raised; it is counted once, at its stage."""
    with (
        pytest.raises(type(error)) as caught,
        telemetry.run("analysis", candidates=1),
        telemetry.stage("ranking"),
        telemetry.document("cv.pdf"),
        telemetry.stage("insights"),
    ):
        ask(client)
        raise error
    found = recorded.run()

    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert found.status == status
    assert sum(found.errors.values()) == errors
    assert {stage for stage, _ in found.errors} <= {"insights"}
    assert found.total.calls == 1, "what was spent is known exactly"
    assert found.cost_complete


def test_one_exception_in_two_runs_counts_in_both(recorded: Recorded) -> None:
    """An error object that is raised again in another run is an error of that run too."""
    error = Broken()
    for _ in range(2):
        with pytest.raises(Broken), telemetry.run("intake"):
            raise error

    assert [run.errors for run in recorded.runs()] == [{("unattributed", BROKEN): 1}] * 2


def test_a_handle_that_is_dropped_is_interrupted(recorded: Recorded) -> None:
    """A run whose handle is lost without an end does not stay open for ever."""
    contextvars.copy_context().run(telemetry.start_run, "analysis", candidates=1)
    gc.collect()

    assert not recorded.pipeline.recorder.has_open_runs
    assert recorded.run().status == "interrupted"


def test_an_open_run_is_interrupted_when_the_process_ends(recorded: Recorded, client: OpenAI) -> None:
    """A process that ends in an orderly way tells the exact spend of what it had open."""
    run = telemetry.start_run("analysis", candidates=1)
    with telemetry.stage("ranking"):
        ask(client)
    found = recorded.run()

    assert (found.status, calls_by_stage(found)) == ("interrupted", {"ranking": 1})
    run.finish()


def test_a_link_may_come_after_the_end(recorded: Recorded) -> None:
    """The host may commit its row after the run ended."""
    run = telemetry.start_run("intake")
    run.finish()
    run.link(analysis_id=5)

    assert recorded.run().analysis_id == 5


def test_another_process_joins_by_a_carrier(recorded: Recorded) -> None:
    """A dispatcher leaves its run open; who resumes it by the carrier adds to it and ends it."""
    run = telemetry.start_run("analysis", candidates=1)
    telemetry.count("app_retries")
    carrier = run.carrier()
    run.detach()
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")
    found = recorded.run()

    assert joined.run_id == run.run_id
    assert (found.status, found.counters) == ("completed", {"app_retries": 2})


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
    """Only a carrier of ours names a run."""
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")

    assert joined.run_id is None
    assert recorded.runs() == []


def test_a_harmed_trace_of_a_carrier_costs_the_trace_alone(recorded: Recorded) -> None:
    """The run is joined by its own id."""
    carrier: Any = {"kind": "analysis", "run_id": "a" * 32, "traceparent": 5, "tracestate": ["x"]}
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")

    assert (joined.run_id, recorded.run().counters) == ("a" * 32, {"app_retries": 1})
