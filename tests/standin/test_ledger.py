"""The ledger records every attempt and every token, but no text."""

import asyncio
import json
import time
from collections import Counter

import pytest
from openai import APITimeoutError, AsyncOpenAI, AuthenticationError, NotFoundError, OpenAI
from openai.types import CompletionUsage

from examples.screener.standin.client import StandIn

SECRET_TEXT = "Xylophone Zebrowski"


def chat(client: OpenAI, text: str = "hello", model: str = "gpt-4o-mini") -> CompletionUsage:
    usage = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}]).usage
    assert usage
    return usage


def test_concurrent_calls_are_counted_exactly(standin: StandIn) -> None:
    """Of sixty concurrent calls no attempt or token is lost or counted twice."""
    standin.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 20}])

    async def ask(client: AsyncOpenAI, number: int) -> CompletionUsage:
        text = f"question {number} " + "and so on " * 500
        completion = await client.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": text}]
        )
        assert completion.usage
        return completion.usage

    async def ask_all() -> list[CompletionUsage]:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as client:
            return await asyncio.gather(*(ask(client, number % 30) for number in range(60)))

    reported = asyncio.run(ask_all())
    ledger = standin.ledger()
    details = [usage.completion_tokens_details for usage in reported]

    assert [line["seq"] for line in ledger["attempts"]] == list(range(1, len(ledger["attempts"]) + 1))
    assert Counter(line["status"] for line in ledger["attempts"]) == {200: 60, 429: 30}
    assert ledger["totals"] == {
        "gpt-5-mini": {
            "chat": {
                "attempts": 90,
                "ok": 60,
                "status_429": 30,
                "other_errors": 0,
                "input_tokens": sum(usage.prompt_tokens for usage in reported),
                "cached_tokens": sum(
                    usage.prompt_tokens_details.cached_tokens or 0
                    for usage in reported
                    if usage.prompt_tokens_details
                ),
                "cache_write_tokens": 0,
                "output_tokens": sum(usage.completion_tokens for usage in reported),
                "reasoning_tokens": sum(detail.reasoning_tokens or 0 for detail in details if detail),
            }
        }
    }
    assert ledger["totals"]["gpt-5-mini"]["chat"]["cached_tokens"] > 0


def test_totals_are_kept_by_model_and_operation(standin: StandIn, client: OpenAI) -> None:
    """Each model and operation has its own row, which equals the reported usage."""
    small, large = chat(client), chat(client, model="gpt-4o")
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"]).usage
    totals = standin.ledger()["totals"]

    assert totals["gpt-4o-mini"]["chat"]["output_tokens"] == small.completion_tokens
    assert totals["gpt-4o"]["chat"]["input_tokens"] == large.prompt_tokens
    assert totals["text-embedding-3-small"]["embeddings"]["input_tokens"] == vectors.prompt_tokens
    assert all(row["attempts"] == row["ok"] == 1 for model in totals.values() for row in model.values())


def test_line_of_an_attempt_has_request_and_bill(standin: StandIn, client: OpenAI) -> None:
    """It has path, operation, models, status, tier, usage and time."""
    started = time.time()
    usage = chat(client)
    (line,) = standin.ledger()["attempts"]

    assert line["path"] == "/v1/chat/completions"
    assert (line["operation"], line["task"], line["stream"]) == ("chat", "", False)
    assert (line["model"], line["response_model"]) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert (line["status"], line["attempt"], line["service_tier"]) == (200, 1, "default")
    assert line["usage"]["input_tokens"] == usage.prompt_tokens
    assert line["usage"]["total_tokens"] == usage.total_tokens
    assert line["usage_reported"] is True
    assert started <= line["time"] <= time.time()


def test_ledger_holds_no_text_and_no_key(standin: StandIn, client: OpenAI) -> None:
    """Neither prompt, answer nor key can be read from it; keys can still be distinguished."""
    chat(client, SECRET_TEXT)
    chat(client.with_options(api_key="key-2"), SECRET_TEXT)
    client.embeddings.create(model="text-embedding-3-small", input=SECRET_TEXT)
    ledger = standin.ledger()
    written = json.dumps(ledger, ensure_ascii=False).lower()

    assert not any(word in written for word in (*SECRET_TEXT.lower().split(), "key-1", "key-2", "about"))
    assert len({line["authorization"] for line in ledger["attempts"]}) == 2
    assert len({line["request_key"] for line in ledger["attempts"]}) == 2


def test_abandoned_stream_is_billed(standin: StandIn, client: OpenAI) -> None:
    """A client that closes it after the first chunk is billed for all of it."""
    with client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "hello"}], stream=True
    ) as stream:
        next(iter(stream))
    (line,) = standin.ledger()["attempts"]

    assert line["usage"]["output_tokens"] > 0
    assert (line["stream"], line["usage_reported"]) == (True, False)


def test_late_answer_is_billed(standin: StandIn, client: OpenAI) -> None:
    """An attempt is in the ledger as soon as the client has given up on it."""
    standin.faults([{"delay_ms": 400}])
    with pytest.raises(APITimeoutError):
        chat(client.with_options(timeout=0.1, max_retries=0))
    (line,) = standin.ledger()["attempts"]

    assert (line["status"], line["delay_ms"]) == (200, 400)
    assert line["usage"]["total_tokens"] > 0


def test_refused_attempts_are_recorded(standin: StandIn, client: OpenAI) -> None:
    """Requests of an unknown path or without a key are attempts too."""
    with pytest.raises(NotFoundError):
        client.models.list()
    with pytest.raises(AuthenticationError):
        chat(client.with_options(default_headers={"Authorization": ""}))
    lines = standin.ledger()["attempts"]

    assert [(line["operation"], line["status"]) for line in lines] == [("unknown", 404), ("chat", 401)]
    assert lines[1]["usage"] is None


def test_ledger_can_be_read_from_a_position(standin: StandIn, client: OpenAI) -> None:
    """since leaves out earlier attempts, also from the totals; clear() empties the ledger."""
    for _ in range(3):
        chat(client)
    later = standin.ledger(since=2)
    standin.clear()

    assert [line["seq"] for line in later["attempts"]] == [3]
    assert later["totals"]["gpt-4o-mini"]["chat"]["attempts"] == 1
    assert standin.ledger() == {"attempts": [], "totals": {}}


def test_invalid_position_is_refused(standin: StandIn) -> None:
    """The message names the parameter."""
    with pytest.raises(ValueError, match="since: '-1'"):
        standin.ledger(since=-1)
