"""Service tiers: asked for, billed, and refused."""

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from examples.screener.standin.client import StandIn


def chat(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(
        model="o3", messages=[{"role": "user", "content": "hello"}], **options
    )


def responses(client: OpenAI, **options: Any) -> Any:
    return client.responses.create(model="o3", input="hello", **options)


def streamed_chat(client: OpenAI, **options: Any) -> Any:
    *_, last = chat(client, stream=True, **options)
    return last


def streamed_responses(client: OpenAI, **options: Any) -> Any:
    *_, last = responses(client, stream=True, **options)
    return last.response


every_way = pytest.mark.parametrize("ask", [chat, streamed_chat, responses, streamed_responses])


@every_way
def test_the_tier_billed_is_told(standin: StandIn, client: OpenAI, ask: Callable[..., Any]) -> None:
    """What is asked for is billed; auto and nothing mean the default."""
    options: list[dict[str, str]] = [
        {},
        *({"service_tier": tier} for tier in ("auto", "default", "flex", "priority")),
    ]
    told = [ask(client, **each).service_tier for each in options]
    lines = standin.ledger()["attempts"]

    assert told == ["default", "default", "default", "flex", "priority"]
    assert [each["service_tier"] for each in lines] == told
    assert [each["service_tier_asked"] for each in lines] == [None, "auto", "default", "flex", "priority"]


@every_way
def test_the_service_may_bill_another_tier(standin: StandIn, client: OpenAI, ask: Callable[..., Any]) -> None:
    """A request for priority that finds no room is answered at the default, and says so."""
    standin.faults([{"service_tier": "default", "first_total": 1}])
    told = [ask(client, service_tier="priority").service_tier for _ in range(2)]
    lines = standin.ledger()["attempts"]

    assert told == [each["service_tier"] for each in lines] == ["default", "priority"]
    assert [each["service_tier_asked"] for each in lines] == ["priority"] * 2


def test_only_the_last_event_knows_the_tier_billed(standin: StandIn, client: OpenAI) -> None:
    """The events of a beginning response name the tier asked for."""
    standin.faults([{"service_tier": "default"}])
    first, *_, last = client.responses.create(model="o3", input="hello", service_tier="priority", stream=True)

    assert first.type == "response.created" and first.response.service_tier == "priority"
    assert last.type == "response.completed" and last.response.service_tier == "default"


def test_errors_and_embeddings_have_no_tier(standin: StandIn, client: OpenAI) -> None:
    """Nothing was billed at a tier, whatever was asked."""
    standin.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 10}])
    chat(client, service_tier="flex")
    client.embeddings.create(model="text-embedding-3-small", input="hello")
    lines = standin.ledger()["attempts"]

    assert [each["service_tier"] for each in lines] == [None, "flex", None, None]
    assert [each["service_tier_asked"] for each in lines] == ["flex", "flex", None, None]
