"""The API as an application uses it: what it says of its work stands in the database afterwards."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry import context

import telemetry
from examples.screener.standin.client import StandIn
from exporters import schema
from exporters.rollup import Rollup
from telemetry.conventions import Attribute
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded, ask, ask_async, calls_by_stage, stages

ROOT = Path(__file__).parents[2]


class Broken(Exception):
    """An error of the application's."""


BROKEN = f"{Broken.__module__}.Broken"


# Runs


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
    run.leave()
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")
    found = recorded.run()

    assert joined.run_id == run.run_id
    assert (found.status, found.counters) == ("completed", {"app_retries": 2})


@pytest.mark.parametrize(
    "carrier", [{}, {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}, {"kind": "analysis"}]
)
def test_a_foreign_carrier_joins_nothing(recorded: Recorded, carrier: dict[str, str]) -> None:
    """Only a carrier of ours names a run."""
    with telemetry.resume(carrier) as joined:
        telemetry.count("app_retries")

    assert joined.run_id is None
    assert recorded.runs() == []


# Stages


def add(one: int, *, other: int) -> int:
    telemetry.count("app_retries")
    return one + other


async def add_async(one: int, *, other: int) -> int:
    await asyncio.sleep(0)
    return add(one, other=other)


def test_stage_around_one_call(recorded: Recorded) -> None:
    """A stage may be put around one call, whose arguments and result pass."""
    with telemetry.run("intake"):
        assert telemetry.stage("ranking", add, 1, other=2) == 3
        assert asyncio.run(telemetry.stage("insights", add_async, 1, other=2)) == 3
    found = recorded.run()

    assert (stages(found), found.counters) == ({"ranking", "insights"}, {"app_retries": 2})


def test_stage_around_a_call_that_fails(recorded: Recorded) -> None:
    """The error of a call in a stage passes, and is the stage's."""

    def fail() -> None:
        raise error

    error = Broken()
    with telemetry.run("intake"), pytest.raises(Broken) as caught:
        telemetry.stage("ranking", fail)

    assert caught.value is error
    assert recorded.run().errors == {("ranking", BROKEN): 1}


def test_a_swallowed_exception_is_still_an_error_of_its_stage(recorded: Recorded) -> None:
    """Who catches an error outside the stage it left goes on, and the run knows of it."""
    with telemetry.run("intake"):
        try:
            with telemetry.stage("ranking"):
                raise Broken
        except Broken:
            pass
    found = recorded.run()

    assert (found.status, found.errors) == ("completed", {("ranking", BROKEN): 1})


def test_calls_belong_to_the_innermost_stage(recorded: Recorded, client: OpenAI) -> None:
    """A stage in a stage takes the calls until it is left; outside all stages they are unattributed."""
    with telemetry.run("intake"):
        ask(client)
        with telemetry.stage("ranking"):
            ask(client)
            with telemetry.stage("insights"):
                ask(client)
                ask(client)
            ask(client)
            ask(client)

    assert calls_by_stage(recorded.run()) == {"unattributed": 1, "ranking": 3, "insights": 2}


def test_plain_spans_name_stages_too(recorded: Recorded, client: OpenAI) -> None:
    """A plain OpenTelemetry span with `analysis.stage` is a stage, inside and around those of the API."""
    span = recorded.tracer.start_as_current_span
    with telemetry.run("intake"):
        with span("rank", attributes={Attribute.STAGE: "ranking"}):
            ask(client)
            with telemetry.stage("insights"):
                ask(client)
                with span("again", attributes={Attribute.STAGE: "ranking"}), span("no stage of its own"):
                    ask(client)
        with telemetry.stage("insights"), span("no stage of its own"):
            ask(client)
    found = recorded.run()

    assert calls_by_stage(found) == {"ranking": 2, "insights": 2}
    assert stages(found) == {"ranking", "insights"}


def test_a_stage_may_be_named_after_its_span_began(recorded: Recorded, client: OpenAI) -> None:
    """Calls under a span are of the stage that it was given before they were made."""
    with telemetry.run("intake"), recorded.tracer.start_as_current_span("work") as span:
        span.set_attribute(Attribute.STAGE, "ranking")
        ask(client)

    assert calls_by_stage(recorded.run()) == {"ranking": 1}


def test_the_error_of_a_plain_span_is_counted(recorded: Recorded) -> None:
    """A plain span of a stage that ends in an exception counts it; the exception passes."""
    with telemetry.run("intake"), pytest.raises(Broken):
        with recorded.tracer.start_as_current_span("rank", attributes={Attribute.STAGE: "ranking"}):
            raise Broken

    assert recorded.run().errors == {("ranking", BROKEN): 1}


def test_a_plain_span_opens_no_run(recorded: Recorded) -> None:
    """Outside a run a stage is nothing."""
    with recorded.tracer.start_as_current_span("rank", attributes={Attribute.STAGE: "ranking"}):
        pass
    with telemetry.stage("ranking"), telemetry.document("cv.pdf") as document:
        document.score(1)
    telemetry.count("app_retries")
    telemetry.degraded(Broken())
    telemetry.fail_current_run(Broken())

    assert recorded.runs() == []


# Calls


def test_every_count_is_the_ledgers(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Calls, attempts, rate limits and tokens of a run are those the service counted."""
    ledger.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 5}])
    with telemetry.run("intake"), telemetry.stage("ranking"):
        for text in ("one", "two words", "three words here"):
            ask(client, text)
    total = recorded.run().total
    attempts = ledger.ledger()["attempts"]
    used = [attempt["usage"] for attempt in attempts if attempt["usage"]]

    assert (total.calls, total.attempts, total.rate_limit_hits, total.rate_limit_retries) == (3, 6, 3, 3)
    assert len(attempts) == 6
    assert total.input_tokens == sum(usage["input_tokens"] for usage in used) > 0
    assert total.output_tokens == sum(usage["output_tokens"] for usage in used) > 0
    assert total.backoff_us >= 3 * 5_000
    assert total.cost_pico == total.input_tokens * 150_000 + total.output_tokens * 600_000


def test_calls_outside_any_run_are_orphans(recorded: Recorded, client: OpenAI) -> None:
    """Nothing spent is lost: a call that belongs to no run counts in the run of the day."""
    ask(client)
    with telemetry.stage("ranking"):
        ask(client)
    found = recorded.run()

    assert (found.root.kind, found.status, found.total.calls) == ("orphan", "completed", 2)
    assert found.total.cost_pico > 0


def test_a_call_that_outlives_its_run_is_of_the_run(recorded: Recorded, client: OpenAI) -> None:
    """A stream that is read after the end counts to the run that began it, and the cost is complete again."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        stream = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    list(stream)
    found = recorded.run()

    assert (found.root.kind, found.total.calls, found.unfinished) == ("intake", 1, 0)
    assert found.cost_complete
    assert calls_by_stage(found) == {"ranking": 1}


def test_a_call_that_never_ends_is_unfinished(recorded: Recorded, client: OpenAI) -> None:
    """A stream that is still open when its run and its process end makes the cost incomplete."""
    with telemetry.run("intake"):
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
    found = recorded.run()
    stream.close()

    assert (found.unfinished, found.cost_complete) == (1, False)


@pytest.mark.parametrize(("late_seconds", "kinds"), [(60.0, ["intake"]), (0.0, ["intake", "orphan"])])
def test_work_left_behind_by_a_run_is_its_own_for_a_while(
    record: Record, client: OpenAI, late_seconds: float, kinds: list[str]
) -> None:
    """A call that a run's thread makes after the end is of the run; long after, it is nobody's."""
    recorded = record(late_seconds=late_seconds)
    with telemetry.run("intake"):
        inside = contextvars.copy_context()
    inside.run(ask, client)
    runs = recorded.runs()

    assert sorted(run.root.kind for run in runs) == kinds
    assert sum(run.total.calls for run in runs) == 1


# Documents and words on what went wrong


def documents(run: Rollup) -> list[tuple[Any, ...]]:
    return [(each.size, each.characters, each.type, each.score, each.outcome) for each in run.documents]


def test_documents(recorded: Recorded) -> None:
    """A document keeps its size, length, type and score, which may be of 1 or of 100."""
    with telemetry.run("analysis"):
        with telemetry.document("a.PDF", size=100, type=".PDF") as document:
            document.describe(characters=50, chunks=2)
            document.score(85, out_of=100)
        with telemetry.document("b.docx", size=200) as document:
            document.describe(type="DOCX")
            document.score(0.85)
    found = recorded.run()

    assert sorted(documents(found)) == [(100, 50, "pdf", 8500, "scored"), (200, None, "docx", 8500, "scored")]
    assert found.scores.above_70 == 2


@pytest.mark.parametrize("percent", [0, 1, 29, 49.99, 50, 69.99, 70, 100])
def test_scores_of_one_and_of_a_hundred_agree(recorded: Recorded, percent: float) -> None:
    """A score is the same whether the application counts to 1 or to 100."""
    with telemetry.run("analysis"):
        with telemetry.document("a") as document:
            document.score(percent, out_of=100)
        with telemetry.document("b") as document:
            document.score(round(percent / 100, 6))
    one, other = recorded.run().documents

    assert one.score == other.score == round(percent * 100)


def test_visits_are_joined_and_namesakes_are_not(recorded: Recorded) -> None:
    """The same name with another size is another document; the same document may be visited often."""
    with telemetry.run("analysis"):
        with telemetry.stage("extraction"):
            for size in (10, 20):
                with telemetry.document("cv.pdf", size=size, characters=size * 2):
                    pass
        with telemetry.stage("ranking"):
            for size in (10, 20):
                with telemetry.document("cv.pdf", size=size) as document:
                    document.score(size, out_of=100)
    found = recorded.run()

    assert documents(found) == [(10, 20, None, 1000, "scored"), (20, 40, None, 2000, "scored")]
    assert all(each.extraction_us is not None and each.analysis_us is not None for each in found.documents)


def test_failed_and_duplicate_documents(recorded: Recorded) -> None:
    """A document fails by the exception that leaves it or by a word; a copy is no failure."""
    with telemetry.run("analysis"):
        with pytest.raises(Broken), telemetry.document("a"):
            raise Broken
        with telemetry.document("b") as document:
            document.fail("Unreadable")
        with telemetry.document("c") as document:
            document.duplicate()
        with telemetry.document("d") as document:
            document.score(1)
    found = recorded.run()

    assert (found.status, found.failed_documents, found.duplicates, found.scores.count) == (
        "partial_failure",
        2,
        1,
        1,
    )
    assert found.errors == {("unattributed", BROKEN): 1, ("unattributed", "Unreadable"): 1}
    assert {each.error_type for each in found.documents} == {BROKEN, "Unreadable", None}


@pytest.mark.parametrize("score_first", [True, False])
def test_degraded_marks_a_fallback(recorded: Recorded, score_first: bool) -> None:
    """A score that stands in for an answer is in no band, whichever is said first; its error is counted."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        with telemetry.document("good") as document:
            document.score(0.9)
        with telemetry.document("bad") as document:
            if score_first:
                document.score(0)
            telemetry.degraded(Broken())
            if not score_first:
                document.score(0)
    found = recorded.run()

    assert (found.scores.count, found.scores.below_50, found.failed_documents) == (1, 0, 1)
    assert (found.status, found.errors) == ("partial_failure", {("ranking", BROKEN): 1})


def test_fallback_said_with_the_score(recorded: Recorded) -> None:
    """The application may mark the score itself."""
    with telemetry.run("analysis"), telemetry.document("bad") as document:
        document.score(0, fallback=True)
    found = recorded.run()

    assert (found.scores.count, found.failed_documents, found.status) == (0, 1, "failed")


def test_counters_are_declared(record: Record) -> None:
    """A declared name is counted as it is, any other as `other`: a typing error cannot fill the metrics."""
    recorded = record(counters=("app_retries", "ours"))
    with telemetry.run("intake"):
        telemetry.count("app_retries", 3)
        telemetry.count("ours")
        telemetry.count("somebody@example.com")

    assert recorded.run().counters == {"app_retries": 3, "ours": 1, "other": 1}


def test_no_text_of_the_application_is_kept(recorded: Recorded, client: OpenAI) -> None:
    """Neither prompt nor answer, neither file name nor message reaches the database or the spool."""
    with telemetry.run("analysis"), telemetry.stage("ranking"):
        with telemetry.document("Zanzibar cv.pdf") as document:
            ask(client, "Describe Zanzibar")
            telemetry.degraded(Broken("Zanzibar"))
            document.fail(Broken("Zanzibar"))
    assert recorded.run().documents

    for path in recorded.path.parent.rglob("*"):
        assert not path.is_file() or b"Zanzibar" not in path.read_bytes()
    assert len(recorded.rows(schema.documents)) == 1


# Threads, tasks and several runs at once


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
            together.wait(10)
            for _ in range(number):
                ask(client)
            together.wait(10)

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


# Without anybody who records

NOTHING = """
    import asyncio
    import sys

    {prelude}
    import telemetry

    async def work():
        return 3

    with telemetry.run("analysis", user_id=1, subject=("draft", 1)) as run:
        with telemetry.stage("ranking"), telemetry.document("a", size=1) as document:
            document.score(1)
            document.describe(characters=3)
            document.fail("x")
            document.duplicate()
        assert telemetry.stage("ranking", max, 1, 2) == 2
        assert asyncio.run(telemetry.stage("ranking", work)) == 3
        telemetry.degraded(ValueError())
        telemetry.count("app_retries")
        telemetry.fail_current_run("x")
        run.link(1)
        run.describe(candidates=1)
        assert run.run_id is None and run.carrier() == {{}}
    handle = telemetry.start_run("intake")
    handle.leave()
    with telemetry.resume({{"run_id": "a", "kind": "analysis"}}):
        pass
    try:
        with telemetry.run("analysis"), telemetry.stage("x"):
            raise KeyError("mine")
    except KeyError as error:
        assert error.args == ("mine",)
    print("nothing happened")
"""


@pytest.mark.parametrize(
    "prelude", ["", "sys.modules['opentelemetry.sdk'] = None"], ids=["not set up", "no SDK installed"]
)
def test_without_a_recorder_nothing_happens(prelude: str) -> None:
    """Instrumented code works where telemetry is not set up, and where the SDK is not even installed."""
    code = textwrap.dedent(NOTHING).format(prelude=prelude)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing happened\n", "")
