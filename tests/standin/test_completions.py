"""Legacy text completions, through the openai client."""

import asyncio

import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI

from examples.screener.standin.client import StandIn

MODEL = "gpt-3.5-turbo-instruct"


def test_usage_is_that_of_the_ledger(standin: StandIn, client: OpenAI) -> None:
    """A prompt costs its own tokens and nothing around them."""
    completion = client.completions.create(model=MODEL, prompt="Compare cats!")
    (line,) = standin.ledger()["attempts"]

    assert completion.usage
    assert completion.usage.prompt_tokens == line["usage"]["input_tokens"] == 4
    assert completion.usage.completion_tokens == line["usage"]["output_tokens"] > 0
    assert (line["operation"], line["service_tier"]) == ("completions", None)


def test_a_stream_tells_the_same_as_a_plain_answer(standin: StandIn, client: OpenAI) -> None:
    """The pieces join to the plain text; usage comes last, when it was asked for."""
    plain = client.completions.create(model=MODEL, prompt="Compare cats!")
    chunks = list(
        client.completions.create(
            model=MODEL, prompt="Compare cats!", stream=True, stream_options={"include_usage": True}
        )
    )
    silent = list(client.completions.create(model=MODEL, prompt="Compare cats!", stream=True))

    assert "".join(each.text for chunk in chunks for each in chunk.choices) == plain.choices[0].text
    assert chunks[-1].usage == plain.usage
    assert all(chunk.usage is None for chunk in silent)
    assert [each["usage_reported"] for each in standin.ledger()["attempts"]] == [True, True, False]


def test_an_answer_stops_at_the_limit(client: OpenAI) -> None:
    """The limit is sixteen tokens where none is named."""
    short = client.completions.create(model=MODEL, prompt="hello", max_tokens=2)
    unnamed = client.completions.create(
        model=MODEL, prompt="internationalisation perpendicularity antidisestablishmentarianism"
    )

    assert [each.choices[0].finish_reason for each in (short, unnamed)] == ["length", "length"]
    assert short.usage and short.usage.completion_tokens == 2
    assert unnamed.usage and unnamed.usage.completion_tokens == 16


def test_the_asynchronous_client_gets_the_same_answer(standin: StandIn, client: OpenAI) -> None:
    """Sync or async makes no difference."""

    async def ask() -> str:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as other:
            return (await other.completions.create(model=MODEL, prompt="hello")).choices[0].text

    assert asyncio.run(ask()) == client.completions.create(model=MODEL, prompt="hello").choices[0].text


def test_faults_apply(standin: StandIn, client: OpenAI) -> None:
    """A 429 is retried, usage can be left out, and all of it stands in the ledger."""
    standin.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 20}, {"omit_usage": True}])
    completion = client.completions.create(model=MODEL, prompt="hello")
    lines = standin.ledger()["attempts"]

    assert completion.usage is None
    assert [each["status"] for each in lines] == [429, 200]
    assert lines[1]["usage"]["total_tokens"] > 0


def test_several_prompts_at_once_are_refused(client: OpenAI) -> None:
    """The stand-in answers one prompt a call, and says so."""
    with pytest.raises(BadRequestError) as refusal:
        client.completions.create(model=MODEL, prompt=["one", "two"])

    assert refusal.value.param == "prompt"
