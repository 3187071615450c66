"""Streams that are cut or slow, and clients that do not wait."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI, AzureOpenAI, OpenAI

from examples.screener.standin.client import StandIn

Streamed = Callable[[Any], Iterator[Any]]


def chat(client: OpenAI) -> Iterator[Any]:
    return iter(
        client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "Compare cats and dogs."}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )


def responses(client: OpenAI) -> Iterator[Any]:
    return iter(client.responses.create(model="gpt-4o", input="Compare cats and dogs.", stream=True))


def completions(client: OpenAI) -> Iterator[Any]:
    return iter(
        client.completions.create(
            model="gpt-3.5-turbo-instruct",
            prompt="Compare cats and dogs.",
            stream=True,
            stream_options={"include_usage": True},
        )
    )


every_stream = pytest.mark.parametrize("streamed", [chat, responses, completions])


def read(stream: Iterator[Any]) -> tuple[list[Any], Exception | None]:
    """Return the chunks that arrived, and the error that ended the stream."""
    chunks = []
    try:
        for chunk in stream:
            chunks.append(chunk)
    except APIConnectionError as error:
        return chunks, error
    return chunks, None


@every_stream
@pytest.mark.parametrize("after", [0, 1, 3])
def test_cut_stream_is_billed_in_full(
    standin: StandIn, client: OpenAI, streamed: Streamed, after: int
) -> None:
    """The chunks before the cut arrive, then the connection breaks; everything is billed, without usage."""
    whole = list(streamed(client))
    standin.faults([{"cut_stream_after": after}])
    chunks, error = read(streamed(client))
    complete, cut = standin.ledger()["attempts"]

    assert error is not None
    assert len(chunks) == after < len(whole)
    assert (complete["cut"], cut["cut"]) == (False, True)
    assert (complete["usage_reported"], cut["usage_reported"]) == (True, False)
    assert cut["status"] == 200
    assert cut["usage"] == complete["usage"]


@every_stream
def test_stream_may_be_cut_after_its_usage(standin: StandIn, client: OpenAI, streamed: Streamed) -> None:
    """Then its usage was sent; a rule for a later chunk cuts nothing."""
    length = len(list(streamed(client)))
    for after, cut in ((length, True), (length + 1, False)):
        standin.clear()
        standin.faults([{"cut_stream_after": after}])
        chunks, _ = read(streamed(client))
        (line,) = standin.ledger()["attempts"]

        assert len(chunks) == length
        assert (line["cut"], line["usage_reported"]) == (cut, True)


def test_asynchronous_stream_is_cut_as_well(standin: StandIn) -> None:
    """The stand-in does not distinguish the clients."""
    standin.faults([{"cut_stream_after": 3}])

    async def count() -> int:
        seen = 0
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as client:
            stream = await client.responses.create(model="gpt-4o", input="hello", stream=True)
            with pytest.raises(APIConnectionError):
                async for _ in stream:
                    seen += 1
        return seen

    assert asyncio.run(count()) == 3
    assert standin.ledger()["attempts"][0]["cut"] is True


def test_response_is_stored_although_its_stream_is_cut(standin: StandIn, client: OpenAI) -> None:
    """Fetching it returns the usage that the cut stream lacks."""
    standin.faults([{"cut_stream_after": 1}])
    ((created,), _) = read(responses(client))
    fetched = client.responses.retrieve(created.response.id)

    assert fetched.usage
    assert fetched.usage.total_tokens == standin.ledger()["attempts"][0]["usage"]["total_tokens"]


def test_azure_streams_are_cut_as_well(standin: StandIn, azure: AzureOpenAI) -> None:
    """Azure's first chunk, about the prompt, counts too."""
    standin.faults([{"cut_stream_after": 2}])
    chunks, error = read(chat(azure))

    assert error is not None
    assert [len(chunk.choices) for chunk in chunks] == [0, 1]
    assert standin.ledger()["attempts"][0]["cut"] is True


def test_only_streams_are_cut(standin: StandIn, client: OpenAI) -> None:
    """Plain answers and errors arrive complete."""
    standin.faults(
        [
            {"cut_stream_after": 0},
            {"match": {"path": "/embeddings"}, "status": 500, "first_total": 1, "retry_after_ms": 10},
        ]
    )
    client.responses.create(model="gpt-4o", input="hello")
    client.embeddings.create(model="text-embedding-3-small", input="hello")

    assert [(line["status"], line["cut"]) for line in standin.ledger()["attempts"]] == [
        (200, False),
        (500, False),
        (200, False),
    ]


def test_next_call_after_a_cut_is_answered(standin: StandIn, client: OpenAI) -> None:
    """A cut closes one connection; the rule says how often it happens."""
    standin.faults([{"cut_stream_after": 1, "first_attempts": 1}])
    outcomes = [read(chat(client))[1] is None for _ in range(2)]

    assert outcomes == [False, True]


@every_stream
def test_chunks_may_be_delayed(standin: StandIn, client: OpenAI, streamed: Streamed) -> None:
    """The delay is between chunks; the first one arrives at once."""
    delay = 0.06
    standin.faults([{"chunk_delay_ms": 60}])

    def arrivals() -> list[float]:
        started = time.monotonic()
        return [time.monotonic() - started for _ in streamed(client)]

    tries = [arrivals() for _ in range(3)]
    assert all(len(times) > 2 and times[-1] >= delay * (len(times) - 1) for times in tries)
    assert any(times[0] < delay for times in tries), "a busy machine delays some of them"


@pytest.mark.parametrize("fault", [{"delay_ms": 400}, {"chunk_delay_ms": 400}])
@every_stream
def test_timeout_of_a_client_is_billed(
    standin: StandIn, client: OpenAI, streamed: Streamed, fault: dict[str, Any]
) -> None:
    """A call is in the ledger and billed, whether the client gives up before the answer or within it."""
    standin.faults([fault])
    with pytest.raises(APITimeoutError):
        list(streamed(client.with_options(timeout=0.1, max_retries=0)))
    (line,) = standin.ledger()["attempts"]

    assert (line["status"], line["cut"]) == (200, False)
    assert line["usage"]["total_tokens"] > 0
