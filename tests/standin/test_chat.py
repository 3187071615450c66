"""Chat completions, through the openai client."""

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from examples.screener.standin.client import StandIn

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Compare cats and dogs."}]


def test_same_request_gets_the_same_answer(client: OpenAI) -> None:
    """An answer depends on the request only."""
    first, second = (client.chat.completions.create(model="gpt-4o-mini", messages=HELLO) for _ in range(2))

    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.usage == second.usage
    assert first.id != second.id


def test_usage_counts_the_tokens_of_the_text(client: OpenAI) -> None:
    """A short word or a sign is one token, a long word one for four letters, a message three more."""
    completion = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {"role": "system", "content": "Be brief!"},
            {"role": "user", "content": "internationalise"},
        ],
    )

    assert completion.usage is not None
    assert completion.usage.prompt_tokens == (3 + 3) + (3 + 4) + 3
    assert completion.usage.completion_tokens > 0
    assert (
        completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )


def test_answer_names_the_dated_model_and_the_tier(client: OpenAI) -> None:
    """The service answers with the snapshot behind an alias, and with the tier it billed."""
    plain = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    flex = client.chat.completions.create(model="o3", messages=HELLO, service_tier="flex")
    unknown = client.chat.completions.create(model="my-own-model", messages=HELLO)

    assert (plain.model, plain.service_tier) == ("gpt-4o-mini-2024-07-18", "default")
    assert (flex.model, flex.service_tier) == ("o3-2025-04-16", "flex")
    assert unknown.model == "my-own-model"


def test_asynchronous_client_gets_the_same_answer(standin: StandIn, client: OpenAI) -> None:
    """The stand-in does not distinguish the clients."""

    async def ask() -> str | None:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as other:
            completion = await other.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
            return completion.choices[0].message.content

    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)

    assert asyncio.run(ask()) == completion.choices[0].message.content


def test_stream_equals_a_plain_answer(client: OpenAI) -> None:
    """Its pieces joined are the plain answer, and its last chunk has the same usage."""
    plain = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    texts = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]

    assert "".join(texts) == plain.choices[0].message.content
    assert sum(bool(text) for text in texts) > 1
    assert [chunk.usage for chunk in chunks] == [None] * (len(chunks) - 1) + [plain.usage]
    assert chunks[-1].choices == []
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_stream_has_usage_only_on_request(client: OpenAI) -> None:
    """Without include_usage no chunk has a usage."""
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))

    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize(("model", "reasons"), [("gpt-5-mini", True), ("o4-mini", True), ("gpt-4o", False)])
def test_reasoning_models_bill_hidden_tokens(client: OpenAI, model: str, reasons: bool) -> None:
    """Reasoning tokens are among the completion tokens, and listed in the details."""
    usage = client.chat.completions.create(model=model, messages=HELLO).usage

    assert usage and usage.completion_tokens_details
    hidden = usage.completion_tokens_details.reasoning_tokens or 0
    assert (hidden > 0) is reasons
    assert usage.completion_tokens > hidden


@pytest.mark.parametrize(("words", "cached"), [(900, 0), (1200, 1152), (1300, 1280)])
def test_repeated_long_prompt_is_cached(client: OpenAI, words: int, cached: int) -> None:
    """From 1024 tokens up, a known prefix is cached in steps of 128."""
    shared = "word " * words

    def ask(end: str) -> int | None:
        usage = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": shared + end}]
        ).usage
        assert usage and usage.prompt_tokens_details
        return usage.prompt_tokens_details.cached_tokens

    assert ask("first") == 0
    assert ask("second") == cached


@pytest.mark.parametrize(("model", "written"), [("gpt-6-sol", [1152, 128, 0]), ("gpt-5-mini", [0, 0, 0])])
def test_newer_models_report_cache_writes(
    standin: StandIn, client: OpenAI, model: str, written: list[int]
) -> None:
    """Input that was not cached is written to the cache, in the same steps, and billed as reported."""

    def ask(words: int) -> int | None:
        usage = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "word " * words}]
        ).usage
        assert usage and usage.prompt_tokens_details
        return usage.prompt_tokens_details.cache_write_tokens

    assert [ask(words) for words in (1200, 1300, 1300)] == written
    assert [line["usage"]["cache_write_tokens"] for line in standin.ledger()["attempts"]] == written


def test_cache_is_kept_by_key_and_model(standin: StandIn, client: OpenAI) -> None:
    """A prompt is cached neither for another key nor for another model."""
    prompt: list[ChatCompletionMessageParam] = [{"role": "user", "content": "word " * 1500}]
    client.chat.completions.create(model="gpt-4o-mini", messages=prompt)
    client.chat.completions.create(model="gpt-4o", messages=prompt)
    client.with_options(api_key="key-2").chat.completions.create(model="gpt-4o-mini", messages=prompt)

    assert [line["usage"]["cached_tokens"] for line in standin.ledger()["attempts"]] == [0, 0, 0]


def test_answer_stops_at_the_limit(client: OpenAI) -> None:
    """max_tokens cuts the answer, with finish_reason `length`, and no more is billed."""
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, max_tokens=3)

    assert completion.usage and completion.usage.completion_tokens == 3
    assert completion.choices[0].finish_reason == "length"


def test_every_choice_is_billed(client: OpenAI) -> None:
    """Two choices cost twice the completion tokens of one."""
    one, two = (client.chat.completions.create(model="gpt-4o", messages=HELLO, n=n) for n in (1, 2))

    assert one.usage and two.usage
    assert len(two.choices) == 2
    assert two.usage.completion_tokens == 2 * one.usage.completion_tokens
    assert two.usage.prompt_tokens == one.usage.prompt_tokens


def test_malformed_request_is_refused_by_parameter(client: OpenAI) -> None:
    """The answer is the service's 400, which names the parameter."""
    with pytest.raises(BadRequestError) as refusal:
        client.chat.completions.create(model="gpt-4o", messages=[])

    assert refusal.value.param == "messages"
    assert refusal.value.type == "invalid_request_error"


def test_answers_have_rate_limit_headers(client: OpenAI) -> None:
    """The remaining requests and tokens are below their limits."""
    raw = client.chat.completions.with_raw_response
    first, second = (raw.create(model="gpt-4o", messages=HELLO).headers for _ in range(2))

    for kind in ("requests", "tokens"):
        assert int(second[f"x-ratelimit-limit-{kind}"]) > int(second[f"x-ratelimit-remaining-{kind}"])
        assert second[f"x-ratelimit-reset-{kind}"].endswith("s")
    assert first["x-request-id"] != second["x-request-id"]
