"""Each call counts once, in the run it belongs to, with the figures of the stand-in's ledger."""

from __future__ import annotations

import contextlib
import contextvars

import pytest
from openai import NotFoundError, OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded, ask, calls_by_stage


def test_every_count_equals_the_ledgers(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Calls, attempts, rate limits and tokens of a run are those of the stand-in."""
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


def test_images_are_unpriced(recorded: Recorded, client: OpenAI) -> None:
    """Their tokens count but have no price, so that the cost is incomplete."""
    with telemetry.run("intake"):
        client.images.generate(prompt="A desk", model="gpt-image-1")
    rollup = recorded.run()

    assert (rollup.total.calls, rollup.total.unpriced, rollup.total.cost_pico) == (1, 1, 0)
    assert rollup.total.input_tokens > 0
    assert not rollup.cost_complete


@pytest.mark.parametrize(("path", "operation"), [("/batches", "batch"), ("/threads/1/runs", "run")])
def test_calls_without_usage_make_the_cost_incomplete(
    recorded: Recorded, client: OpenAI, path: str, operation: str
) -> None:
    """Batches and the like cost something that their answer does not say."""
    body = {"prompt": "A desk", "input_file_id": "f", "endpoint": "/v1/responses", "completion_window": "24h"}
    with telemetry.run("intake"), contextlib.suppress(NotFoundError):
        client.post(path, cast_to=dict[str, object], body=body)
    rollup = recorded.run()

    assert [key.operation for key in rollup.usage] == [operation]
    assert (rollup.total.calls, rollup.total.attempts, rollup.total.input_tokens) == (1, 1, 0)
    is_served = not path.endswith("/runs")  # the stand-in has no assistants
    assert (rollup.total.usage_missing, rollup.total.errors) == (int(is_served), int(not is_served))
    assert rollup.cost_complete is not is_served


@pytest.mark.parametrize(
    ("tools", "is_complete"),
    [
        ([], True),
        ([{"type": "function", "name": "f", "parameters": {}}], True),
        ([{"type": "web_search_preview"}], True),
        ([{"type": "file_search", "vector_store_ids": ["v"]}], True),
        ([{"type": "code_interpreter", "container": {"type": "auto"}}], False),
        ([{"type": "shell"}], False),
        ([{"type": "shell", "environment": {"type": "local"}}], True),
    ],
)
def test_tools_that_the_service_charges_for_make_the_cost_incomplete(
    recorded: Recorded, client: OpenAI, tools: list[dict[str, object]], is_complete: bool
) -> None:
    """The answer shows that nothing was searched, but not whether a container was billed."""
    with telemetry.run("intake"):
        client.responses.create(model="gpt-5-mini", input="Hello", tools=tools)  # type: ignore[arg-type]
    rollup = recorded.run()

    assert rollup.total.cost_pico > 0 and rollup.total.input_tokens > 0
    assert (rollup.cost_complete, rollup.total.usage_missing) == (is_complete, int(not is_complete))


def test_calls_outside_any_run_are_orphans(recorded: Recorded, client: OpenAI) -> None:
    """A call that belongs to no run counts in the day's orphan run."""
    ask(client)
    with telemetry.stage("ranking"):
        ask(client)
    rollup = recorded.run()

    assert (rollup.root.kind, rollup.status, rollup.total.calls) == ("orphan", "completed", 2)
    assert rollup.total.cost_pico > 0


def test_call_that_outlives_its_run_counts_in_it(recorded: Recorded, client: OpenAI) -> None:
    """A stream that is read after its run ended counts in that run, whose cost becomes complete."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        stream = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    list(stream)
    rollup = recorded.run()

    assert (rollup.root.kind, rollup.total.calls, rollup.unfinished) == ("intake", 1, 0)
    assert rollup.cost_complete
    assert calls_by_stage(rollup) == {"ranking": 1}


def test_call_that_never_ends_is_unfinished(recorded: Recorded, client: OpenAI) -> None:
    """A stream that is still open at shutdown makes the cost of its run incomplete."""
    with telemetry.run("intake"):
        stream = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
    rollup = recorded.run()
    stream.close()

    assert (rollup.unfinished, rollup.cost_complete) == (1, False)


@pytest.mark.parametrize(("late_seconds", "kinds"), [(60.0, ["intake"]), (0.0, ["intake", "orphan"])])
def test_call_after_its_run_belongs_to_it_for_a_while(
    record: Record, client: OpenAI, late_seconds: float, kinds: list[str]
) -> None:
    """A call in the context of an ended run counts in it for `late_seconds`; later it is an orphan."""
    recorded = record(late_seconds=late_seconds)
    with telemetry.run("intake"):
        inside = contextvars.copy_context()
    inside.run(ask, client)
    runs = recorded.runs()

    assert sorted(run.root.kind for run in runs) == kinds
    assert sum(run.total.calls for run in runs) == 1
