"""Background responses, which finish after their request: their usage counts once, where they began."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

import telemetry
from exporters.rollup.merge import Rollup
from telemetry.openai import pending
from tests.telemetry.recordings import Recorded, calls_by_stage

MODEL = "gpt-5-mini-2025-08-07"
ASK: dict[str, Any] = {"model": "gpt-5-mini", "input": "Hello", "background": True}
COST = 4000 * 250_000 + 900 * 2_000_000


def response(key: str, status: str) -> dict[str, Any]:
    """Return a response of the responses API; a completed one has a usage."""
    used = {
        "input_tokens": 4000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 900,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 4900,
    }
    return {
        "id": key,
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": MODEL,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "default",
        "background": True,
        "usage": used if status == "completed" else None,
    }


class Service:
    """Creates responses that are queued, and returns their status to a poll."""

    def __init__(self) -> None:
        self.status = "completed"
        """The status that a poll returns."""
        self._keys = itertools.count()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST" and request.url.path.endswith("/responses"):
            created = response(f"resp_{next(self._keys)}", "queued")
            if json.loads(request.content).get("stream"):
                return self._events({"type": "response.created", "sequence_number": 0, "response": created})
            return httpx2.Response(200, json=created)
        key = request.url.path.split("/")[3]
        current = response(key, "cancelled" if request.method == "POST" else self.status)
        if "stream" in request.url.params:
            return self._events(
                {"type": f"response.{self.status}", "sequence_number": 1, "response": current},
            )
        return httpx2.Response(200, json=current)

    @staticmethod
    def _events(*events: dict[str, Any]) -> httpx2.Response:
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=text.encode())


@pytest.fixture(autouse=True)
def nothing_pending() -> Iterator[None]:
    pending._pending.clear()
    yield
    pending._pending.clear()


@pytest.fixture
def background() -> Service:
    return Service()


@pytest.fixture
def client(background: Service) -> OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(background))
    return OpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http, max_retries=0)


def assert_complete(run: Rollup) -> None:
    assert calls_by_stage(run) == {"ranking": 1}
    assert (run.total.input_tokens, run.total.output_tokens, run.total.cost_pico) == (4000, 900, COST)
    assert (run.total.attempts, run.total.usage_missing, run.total.errors, run.unfinished) == (1, 0, 0, 0)
    assert run.cost_complete
    assert {key.model for key in run.usage if key.operation} == {MODEL}


def by_method(client: OpenAI, key: str) -> None:
    client.responses.retrieve(key)


def raw(client: OpenAI, key: str) -> None:
    client.responses.with_raw_response.retrieve(key).parse()


def streamed(client: OpenAI, key: str) -> None:
    assert [event.type for event in client.responses.retrieve(key, stream=True)] == ["response.completed"]


def by_hand(client: OpenAI, key: str) -> None:
    client.get(f"/responses/{key}", cast_to=dict[str, Any])


@pytest.mark.parametrize("poll", [by_method, raw, streamed, by_hand])
def test_usage_of_a_poll_counts_once(
    recorded: Recorded, client: OpenAI, background: Service, poll: Callable[[OpenAI, str], None]
) -> None:
    """It counts in the stage that created the response, however it is polled and how often."""
    with telemetry.run("intake"):
        with telemetry.stage("ranking"):
            key = client.responses.create(**ASK).id
        background.status = "in_progress"
        client.responses.retrieve(key)
        background.status = "completed"
        with telemetry.stage("insights"):
            poll(client, key)
            poll(client, key)

    assert_complete(recorded.run())


def test_usage_of_an_asynchronous_poll_counts(recorded: Recorded, background: Service) -> None:
    """The asynchronous client is covered as well."""

    async def main() -> None:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(background))
        async with AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http) as client:
            with telemetry.run("intake"), telemetry.stage("ranking"):
                created = await client.responses.create(**ASK)
                async for _ in await client.responses.retrieve(created.id, stream=True):
                    pass

    asyncio.run(main())

    assert_complete(recorded.run())


def test_abandoned_background_stream_may_be_polled(recorded: Recorded, client: OpenAI) -> None:
    """The response continues when its stream is no longer read, and a poll returns its usage."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        with client.responses.create(**ASK, stream=True) as stream:
            created: Any = next(iter(stream))
        client.responses.retrieve(created.response.id)

    assert_complete(recorded.run())


def test_poll_after_the_run_counts_in_that_run(recorded: Recorded, client: OpenAI) -> None:
    """The run that created the response becomes complete; the run that polls it counts nothing."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        key = client.responses.create(**ASK).id
    with telemetry.run("intake", subject="bob"), telemetry.stage("insights"):
        client.responses.retrieve(key)
    ada, bob = recorded.runs()

    assert_complete(ada)
    assert (bob.total.calls, bob.cost_complete) == (0, True)


def test_response_that_is_never_polled_is_unfinished(recorded: Recorded, client: OpenAI) -> None:
    """What was billed stays unknown, so that the cost is incomplete."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        client.responses.create(**ASK)
    run = recorded.run()

    assert (run.unfinished, run.total.cost_pico, run.cost_complete) == (1, 0, False)


@pytest.mark.parametrize("way", ["polled", "cancelled"])
def test_cancelled_response_has_an_unknown_bill(
    recorded: Recorded, client: OpenAI, background: Service, way: str
) -> None:
    """It does not say what was used before it was cancelled."""
    background.status = "cancelled"
    with telemetry.run("intake"), telemetry.stage("ranking"):
        key = client.responses.create(**ASK).id
        if way == "polled":
            client.responses.retrieve(key)
        else:
            client.responses.cancel(key)
    run = recorded.run()

    assert (run.total.calls, run.total.usage_missing, run.unfinished) == (1, 1, 0)
    assert not run.cost_complete


def test_response_of_another_process_is_not_counted(recorded: Recorded, client: OpenAI) -> None:
    """Not even if responses of this process are pending."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        key = client.responses.create(**ASK).id
        client.responses.retrieve("resp_of_another")
        client.responses.retrieve(key)

    assert_complete(recorded.run())


def test_response_that_is_complete_at_once_counts_once(recorded: Recorded, background: Service) -> None:
    """A poll does not count a usage again that creating the response returned."""
    done = httpx2.MockTransport(lambda _: httpx2.Response(200, json=response("resp_0", "completed")))
    http = httpx2.Client(transport=done)
    client = OpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http)
    with telemetry.run("intake"), telemetry.stage("ranking"):
        client.responses.create(**ASK)
        client.responses.retrieve("resp_0")

    assert_complete(recorded.run())


def test_polled_assistant_run_counts_its_tokens(recorded: Recorded) -> None:
    """Its cost stays incomplete, because its tools may be billed beside the tokens."""
    run_of = {"id": "run_1", "object": "thread.run", "thread_id": "t", "assistant_id": "a", "model": "gpt-4o"}
    used = {"prompt_tokens": 70, "completion_tokens": 7, "total_tokens": 77}

    def answer(request: httpx2.Request) -> httpx2.Response:
        ended = {"status": "completed", "usage": used}
        return httpx2.Response(
            200, json=run_of | ({"status": "queued"} if request.method == "POST" else ended)
        )

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = OpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http)
    with telemetry.run("intake"), telemetry.stage("ranking"):
        client.post("/threads/t/runs", cast_to=dict[str, Any], body={"assistant_id": "a"})
        for _ in range(2):
            client.get("/threads/t/runs/run_1", cast_to=dict[str, Any])
    run = recorded.run()

    assert (run.total.calls, run.total.input_tokens, run.total.output_tokens) == (1, 70, 7)
    assert (run.total.unpriced, run.cost_complete) == (1, False)


def test_pending_responses_are_limited(
    recorded: Recorded, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that never polls, the oldest calls end with an unknown bill."""
    monkeypatch.setattr(pending, "MOST", 3)
    with telemetry.run("intake"), telemetry.stage("ranking"):
        for _ in range(5):
            client.responses.create(**ASK)
        client.responses.retrieve("resp_0")
        client.responses.retrieve("resp_4")
    run = recorded.run()

    assert len(pending._pending) == 2
    assert (run.total.calls, run.total.usage_missing, run.unfinished) == (3, 2, 2)
    assert run.total.cost_pico == COST
