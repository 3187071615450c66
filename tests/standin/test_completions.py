"""Legacy text completions, through the openai client."""

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI

from examples.screener.standin.client import StandIn

MODEL = "gpt-3.5-turbo-instruct"


def test_usage_equals_the_ledgers(standin: StandIn, client: OpenAI) -> None:
    """A prompt is billed its own tokens only."""
    completion = client.completions.create(model=MODEL, prompt="Compare cats!")
    (line,) = standin.ledger()["attempts"]

    assert completion.usage
    assert completion.usage.prompt_tokens == line["usage"]["input_tokens"] == 4
    assert completion.usage.completion_tokens == line["usage"]["output_tokens"] > 0
    assert (line["operation"], line["service_tier"]) == ("completions", None)


def test_stream_equals_a_plain_answer(standin: StandIn, client: OpenAI) -> None:
    """Its pieces joined are the plain text; the usage is last, if it was requested."""
    plain = client.completions.create(model=MODEL, prompt="Compare cats!")
    chunks = list(
        client.completions.create(
            model=MODEL, prompt="Compare cats!", stream=True, stream_options={"include_usage": True}
        )
    )
    silent = list(client.completions.create(model=MODEL, prompt="Compare cats!", stream=True))

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == plain.choices[0].text
    assert chunks[-1].usage == plain.usage
    assert all(chunk.usage is None for chunk in silent)
    assert [line["usage_reported"] for line in standin.ledger()["attempts"]] == [True, True, False]


def test_answer_stops_at_the_limit(client: OpenAI) -> None:
    """The default limit is sixteen tokens."""
    short = client.completions.create(model=MODEL, prompt="hello", max_tokens=2)
    unnamed = client.completions.create(
        model=MODEL, prompt="internationalisation perpendicularity antidisestablishmentarianism"
    )

    assert [answer.choices[0].finish_reason for answer in (short, unnamed)] == ["length", "length"]
    assert short.usage and short.usage.completion_tokens == 2
    assert unnamed.usage and unnamed.usage.completion_tokens == 16


def test_asynchronous_client_gets_the_same_answer(standin: StandIn, client: OpenAI) -> None:
    """The stand-in does not distinguish the clients."""

    async def ask() -> str:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as other:
            return (await other.completions.create(model=MODEL, prompt="hello")).choices[0].text

    assert asyncio.run(ask()) == client.completions.create(model=MODEL, prompt="hello").choices[0].text


def test_fault_rules_apply_to_completions(standin: StandIn, client: OpenAI) -> None:
    """A 429 is retried, usage can be left out, and the ledger has both."""
    standin.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 20}, {"omit_usage": True}])
    completion = client.completions.create(model=MODEL, prompt="hello")
    lines = standin.ledger()["attempts"]

    assert completion.usage is None
    assert [line["status"] for line in lines] == [429, 200]
    assert lines[1]["usage"]["total_tokens"] > 0


def test_several_prompts_at_once_are_refused(client: OpenAI) -> None:
    """The stand-in answers one prompt a call, and names the parameter."""
    with pytest.raises(BadRequestError) as refusal:
        client.completions.create(model=MODEL, prompt=["one", "two"])

    assert refusal.value.param == "prompt"
