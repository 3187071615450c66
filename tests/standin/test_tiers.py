"""Service tiers: requested, billed, and replaced by another."""

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
def test_answer_names_the_billed_tier(standin: StandIn, client: OpenAI, ask: Callable[..., Any]) -> None:
    """The requested tier is billed; auto and none mean the default."""
    options: list[dict[str, str]] = [
        {},
        *({"service_tier": tier} for tier in ("auto", "default", "flex", "priority")),
    ]
    answered = [ask(client, **request).service_tier for request in options]
    lines = standin.ledger()["attempts"]

    assert answered == ["default", "default", "default", "flex", "priority"]
    assert [line["service_tier"] for line in lines] == answered
    assert [line["service_tier_asked"] for line in lines] == [None, "auto", "default", "flex", "priority"]


@every_way
def test_another_tier_may_be_billed(standin: StandIn, client: OpenAI, ask: Callable[..., Any]) -> None:
    """A request for priority may be answered at the default tier, which the answer names."""
    standin.faults([{"service_tier": "default", "first_total": 1}])
    answered = [ask(client, service_tier="priority").service_tier for _ in range(2)]
    lines = standin.ledger()["attempts"]

    assert answered == [line["service_tier"] for line in lines] == ["default", "priority"]
    assert [line["service_tier_asked"] for line in lines] == ["priority"] * 2


def test_only_the_last_event_names_the_billed_tier(standin: StandIn, client: OpenAI) -> None:
    """Earlier events of a response name the requested tier."""
    standin.faults([{"service_tier": "default"}])
    first, *_, last = client.responses.create(model="o3", input="hello", service_tier="priority", stream=True)

    assert first.type == "response.created" and first.response.service_tier == "priority"
    assert last.type == "response.completed" and last.response.service_tier == "default"


def test_errors_and_embeddings_have_no_tier(standin: StandIn, client: OpenAI) -> None:
    """They are not billed by tier, whatever was requested."""
    standin.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 10}])
    chat(client, service_tier="flex")
    client.embeddings.create(model="text-embedding-3-small", input="hello")
    lines = standin.ledger()["attempts"]

    assert [line["service_tier"] for line in lines] == [None, "flex", None, None]
    assert [line["service_tier_asked"] for line in lines] == ["flex", "flex", None, None]
