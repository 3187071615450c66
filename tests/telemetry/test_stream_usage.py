"""The usage of streams, whether they are read to their end or abandoned."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI, Stream
from openai.types.chat import ChatCompletionChunk
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

import telemetry
from exporters.rollup.merge import Rollup
from tests.telemetry.recordings import Recorded

MODEL = "gpt-4o-mini-2024-07-18"
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
STREAM: dict[str, Any] = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
INPUT, OUTPUT = 1000, 100
COST = INPUT * 150_000 + OUTPUT * 600_000
DONE = "[DONE]"

Event = dict[str, Any] | str | Exception


def usage(output: int = OUTPUT, input: int = INPUT) -> dict[str, int]:
    return {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}


def chunk(
    text: str = "a",
    *,
    used: dict[str, int] | None = None,
    finish: str | None = None,
    empty: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Return a chunk of a chat; ``empty`` makes one without choices, such as that with the usage."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [] if empty else [choice],
        "usage": used,
        **more,
    }


FINAL = chunk(empty=True, used=usage())
TOKENS = [chunk() for _ in range(20)]
WHOLE: list[Event] = [*TOKENS, chunk(finish="stop"), FINAL, DONE]


def response(status: str = "completed", used: bool = True) -> dict[str, Any]:
    """Return a response of the responses API."""
    counts = {"input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": MODEL,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "service_tier": "default",
        "usage": {**counts, **details} if used else None,
    }


def delta(number: int) -> dict[str, Any]:
    place = {"item_id": "m", "output_index": 0, "content_index": 0, "sequence_number": number, "logprobs": []}
    return {"type": "response.output_text.delta", "delta": "a", **place}


def responses_events(end: str) -> list[Event]:
    """Return the events of a response that ends as ``end`` says."""
    begun = {"type": "response.created", "sequence_number": 0, "response": response("in_progress", False)}
    ended = {"type": f"response.{end}", "sequence_number": 9, "response": response(end)}
    return [begun, *(delta(number) for number in range(1, 9)), ended]


def body(events: list[Event]) -> Iterator[bytes]:
    """Yield a body of server-sent events; an exception among them breaks the connection there."""
    for event in events:
        if isinstance(event, Exception):
            raise event
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        yield f"{name}data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode()


async def body_async(events: list[Event]) -> AsyncIterator[bytes]:
    for piece in body(events):
        yield piece


def client_for(events: list[Event]) -> OpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body(events))

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return OpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http, max_retries=0)


def async_client_for(events: list[Event]) -> AsyncOpenAI:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body_async(events))

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    return AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http, max_retries=0)


def count(recorded: Recorded, work: Callable[[], object]) -> Rollup:
    """Do ``work`` in a run, and return the rollup of that run."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        work()
    return recorded.run()


def tokens(run: Rollup) -> tuple[int, int]:
    return run.total.input_tokens, run.total.output_tokens


def read(stream: Any) -> None:
    for _ in stream:
        pass


async def read_async(stream: Any) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (WHOLE, (INPUT, OUTPUT)),
        ([chunk(used=usage(1)), chunk(used=usage(2)), chunk(finish="stop", used=usage(3)), DONE], (INPUT, 3)),
        ([chunk(), chunk(finish="stop", used=usage()), FINAL, DONE], (INPUT, OUTPUT)),
        ([chunk(empty=True, model=""), chunk(), chunk(finish="stop"), FINAL, DONE], (INPUT, OUTPUT)),
        ([chunk(used=usage(0, 0)), chunk(finish="stop"), FINAL, DONE], (INPUT, OUTPUT)),
        ([chunk(finish="stop", used=usage()), chunk(empty=True, used=usage(0, 0)), DONE], (INPUT, OUTPUT)),
        ([*TOKENS, chunk(finish="stop"), FINAL], (INPUT, OUTPUT)),
    ],
    ids=["at the end", "in every chunk", "twice", "Azure", "zeros first", "zeros last", "no [DONE]"],
)
def test_usage_of_a_chat_counts_once(
    recorded: Recorded, events: list[Event], expected: tuple[int, int]
) -> None:
    """It counts once wherever it is in the stream, and the cost is complete."""
    client = client_for(events)
    run = count(recorded, lambda: read(client.chat.completions.create(**STREAM)))

    assert tokens(run) == expected
    assert run.total.cost_pico == expected[0] * 150_000 + expected[1] * 600_000
    assert (run.total.calls, run.total.errors, run.cost_complete) == (1, 0, True)
    assert {key.model for key in run.usage if key.operation} == {MODEL}


def test_stream_with_zero_usage_is_missing_its_usage(recorded: Recorded) -> None:
    """It has text, so that tokens were used, but an unknown number."""
    client = client_for([chunk(), chunk(finish="stop"), chunk(empty=True, used=usage(0, 0)), DONE])
    run = count(recorded, lambda: read(client.chat.completions.create(**STREAM)))

    assert tokens(run) == (0, 0)
    assert (run.total.usage_missing, run.cost_complete) == (1, False)


@pytest.mark.parametrize("where", ["on the last", "on one in between"])
def test_last_named_tier_of_a_stream_counts(recorded: Recorded, where: str) -> None:
    """It precedes the requested tier, and one that an earlier chunk names."""
    tier: dict[str, Any] = {"service_tier": "priority"}
    final = chunk(empty=True, used=usage(), **(tier if where == "on the last" else {}))
    client = client_for([chunk(service_tier="auto"), chunk(finish="stop", **tier), final, DONE])
    run = count(recorded, lambda: read(client.chat.completions.create(**STREAM, service_tier="auto")))

    assert {key.service_tier for key in run.usage if key.operation} == {"priority"}


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("is_official", [True, False], ids=["", "without the official instrumentation"])
def test_usage_of_a_response_counts_however_it_ends(recorded: Recorded, end: str, is_official: bool) -> None:
    """Its last event holds the usage, whether it completed or not."""
    if not is_official:
        OpenAIInstrumentor().uninstrument()
    client = client_for(responses_events(end))
    ask: dict[str, Any] = {"model": "gpt-4o-mini", "input": "Hello", "stream": True}
    run = count(recorded, lambda: read(client.responses.create(**ask)))

    assert (tokens(run), run.total.cost_pico) == ((INPUT, OUTPUT), COST)
    assert (run.total.calls, run.cost_complete) == (1, True)
    assert {key.service_tier for key in run.usage if key.operation} == {"default"}


def by_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(**BODY, stream_options={"include_usage": True}) as stream:
        read(stream)


def raw(client: OpenAI) -> None:
    read(client.chat.completions.with_raw_response.create(**STREAM).parse())


def streaming_response(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**STREAM) as answer:
        read(answer.parse())


def posted(client: OpenAI) -> None:
    of_chunks = Stream[ChatCompletionChunk]
    read(
        client.post(
            "/chat/completions", cast_to=ChatCompletionChunk, body=STREAM, stream=True, stream_cls=of_chunks
        )
    )


def posted_untyped(client: OpenAI) -> None:
    of_any: Any = Stream[object]
    read(client.post("/chat/completions", cast_to=object, body=STREAM, stream=True, stream_cls=of_any))


@pytest.mark.parametrize("way", [by_helper, raw, streaming_response, posted, posted_untyped])
def test_every_way_to_read_a_stream_counts_its_usage(
    recorded: Recorded, way: Callable[[OpenAI], None]
) -> None:
    """Helpers, raw responses, streaming responses and `post` are covered."""
    run = count(recorded, lambda: way(client_for(WHOLE)))

    assert (run.total.calls, tokens(run), run.total.cost_pico) == (1, (INPUT, OUTPUT), COST)
    assert (run.cost_complete, run.unfinished) == (True, 0)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_body_that_the_application_reads_later_counts(recorded: Recorded, kind: str) -> None:
    """The usage of an unstreamed answer counts when the application reads its body."""
    answer = {"id": "c", "object": "chat.completion", "model": MODEL, "choices": [], "usage": usage()}

    def sync() -> None:
        http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer)))
        with OpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http) as client:
            with client.embeddings.with_streaming_response.create(
                model="gpt-4o-mini", input="x"
            ) as response_read:
                response_read.json()

    async def asynchronous() -> None:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer)))
        async with AsyncOpenAI(base_url="http://127.0.0.1/v1", api_key="any", http_client=http) as client:
            request = client.embeddings.with_streaming_response.create(model="gpt-4o-mini", input="x")
            async with request as response_read:
                await response_read.json()

    run = count(recorded, sync if kind == "sync" else lambda: asyncio.run(asynchronous()))

    assert (run.total.calls, tokens(run), run.cost_complete) == (1, (INPUT, OUTPUT), True)


def close(client: OpenAI) -> None:
    stream = client.chat.completions.create(**STREAM)
    next(iter(stream))
    stream.close()


def leave_block(client: OpenAI) -> None:
    with client.chat.completions.create(**STREAM) as stream:
        for _ in stream:
            break


def fail_in_block(client: OpenAI) -> None:
    with contextlib.suppress(KeyError), client.chat.completions.create(**STREAM) as stream:
        for _ in stream:
            raise KeyError


def leave_generator(client: OpenAI) -> None:
    def pieces() -> Generator[object, None, None]:
        with client.chat.completions.create(**STREAM) as stream:
            yield from stream

    some = pieces()
    next(some)
    some.close()


def leave_generator_without_block(client: OpenAI) -> None:
    def pieces() -> Generator[object, None, None]:
        yield from client.chat.completions.create(**STREAM)

    some = pieces()
    next(some)
    some.close()
    gc.collect()


def drop(client: OpenAI) -> None:
    next(iter(client.chat.completions.create(**STREAM)))
    gc.collect()


def never_read(client: OpenAI) -> None:
    client.chat.completions.create(**STREAM).close()


def leave_raw_lines(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**STREAM) as answer:
        next(answer.iter_lines())


WAYS_TO_LEAVE = (
    close,
    leave_block,
    fail_in_block,
    leave_generator,
    leave_generator_without_block,
    drop,
    never_read,
    leave_raw_lines,
)


@pytest.mark.parametrize("way", WAYS_TO_LEAVE)
@pytest.mark.parametrize("is_official", [True, False], ids=["", "without the official instrumentation"])
def test_abandoned_stream_is_no_error(
    recorded: Recorded, way: Callable[[OpenAI], None], is_official: bool
) -> None:
    """However the application stops reading, call and run do not fail; only the bill is unknown."""
    if not is_official:
        OpenAIInstrumentor().uninstrument()
    run = count(recorded, lambda: way(client_for(WHOLE)))

    assert (run.status, run.total.errors, run.errors) == ("completed", 0, {})
    assert (run.total.calls, run.total.usage_missing, run.unfinished) == (1, 1, 0)
    assert (run.cost_complete, tokens(run)) == (False, (0, 0))


@pytest.mark.parametrize("way", ["break", "block", "generator", "cancel"])
def test_abandoned_asynchronous_stream_is_no_error(recorded: Recorded, way: str) -> None:
    """This includes a task that is cancelled while it reads."""
    stuck = asyncio.Event()

    async def pieces(client: AsyncOpenAI) -> AsyncIterator[object]:
        async with await client.chat.completions.create(**STREAM) as stream:
            async for piece in stream:
                yield piece

    async def leave(client: AsyncOpenAI) -> None:
        if way == "generator":
            some = pieces(client)
            await anext(some)
            await some.aclose()  # type: ignore[attr-defined]
            return
        stream = await client.chat.completions.create(**STREAM)
        if way == "block":
            async with stream:
                await anext(stream)
        else:
            await anext(stream)
            if way == "cancel":
                stuck.set()
                await asyncio.sleep(60)
            await stream.close()

    async def main() -> None:
        async with async_client_for(WHOLE) as client:
            task = asyncio.create_task(leave(client))
            if way == "cancel":
                await stuck.wait()
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        gc.collect()

    run = count(recorded, lambda: asyncio.run(main()))

    assert (run.status, run.total.errors) == ("completed", 0)
    assert (run.total.calls, run.total.usage_missing, run.unfinished) == (1, 1, 0)


def test_usage_so_far_of_an_abandoned_stream_is_a_lower_bound(recorded: Recorded) -> None:
    """The last usage that was read counts, and the cost is incomplete."""
    client = client_for([chunk(used=usage(output)) for output in range(1, 50)])

    def work() -> None:
        with client.chat.completions.create(**STREAM) as stream:
            for number, _ in enumerate(stream, 1):
                if number == 3:
                    break

    run = count(recorded, work)

    assert tokens(run) == (INPUT, 3)
    assert run.total.cost_pico == INPUT * 150_000 + 3 * 600_000
    assert (run.total.usage_missing, run.cost_complete) == (1, False)


def test_stream_read_up_to_its_usage_is_complete(recorded: Recorded) -> None:
    """The bill is known, although the stream was not read to its very end."""
    client = client_for(WHOLE)

    def work() -> None:
        for piece in client.chat.completions.create(**STREAM):
            if piece.usage is not None:
                break

    run = count(recorded, work)

    assert (tokens(run), run.total.cost_pico, run.cost_complete) == ((INPUT, OUTPUT), COST, True)


@pytest.mark.parametrize("is_counting", [False, True], ids=["no usage", "usage so far"])
def test_broken_connection_is_an_error_with_unknown_bill(recorded: Recorded, is_counting: bool) -> None:
    """The usage so far counts."""
    seen = chunk(used=usage(7)) if is_counting else chunk()
    client = client_for([seen, httpx2.ReadError("broken")])

    def work() -> None:
        with pytest.raises(Exception, match=r"Connection error|broken"):
            read(client.chat.completions.create(**STREAM))

    run = count(recorded, work)

    assert (run.total.calls, run.total.errors, run.total.usage_missing) == (1, 1, 1)
    assert tokens(run) == ((INPUT, 7) if is_counting else (0, 0))


def test_error_event_in_a_stream_fails_the_call(recorded: Recorded) -> None:
    """The error also reaches the application."""
    client = client_for([chunk(), {"error": {"message": "overloaded"}}])

    def work() -> None:
        with pytest.raises(openai.APIError, match="overloaded"):
            read(client.chat.completions.create(**STREAM))

    run = count(recorded, work)

    assert (run.total.calls, run.total.errors, run.cost_complete) == (1, 1, False)


def test_events_reach_the_application_unchanged(recorded: Recorded) -> None:
    """All of them arrive, in order, as without telemetry."""
    client = client_for(WHOLE)
    with telemetry.run("intake"):
        texts = [
            piece.choices[0].delta.content
            for piece in client.chat.completions.create(**STREAM)
            if piece.choices
        ]
    assert texts == ["a"] * 21
