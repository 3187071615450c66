"""A 429 is a rate limit, a used-up quota or a spend limit; only the first counts as rate limiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI, RateLimitError

from exporters.metrics.instruments import Metrics
from exporters.sql.schema.tables import runs, stage_usage
from telemetry import conventions as c
from telemetry import run, stage
from telemetry.openai.kinds_of_429 import MOST_BYTES, status_of
from tests.telemetry.answering import Answer, Answering
from tests.telemetry.recordings import Recorded

RATE, QUOTA, SPEND = "429", "429_quota", "429_spend_limit"
KEY = "any"
REQUEST: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}


def error(code: object, kind: object = None) -> dict[str, Any]:
    return {"error": {"message": "no", "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (error("rate_limit_exceeded", "requests"), RATE),
        (error("rate_limit_exceeded", "tokens"), RATE),
        (error("rate_limit_exceeded", "insufficient_quota"), RATE),
        (error("slow_down"), RATE),
        (error("429"), RATE),
        (error(429), RATE),
        (error("RateLimitReached"), RATE),
        (error("too_many_requests"), RATE),
        (error("insufficient_quota", "insufficient_quota"), QUOTA),
        (error("credit_balance_exhausted", "insufficient_quota"), QUOTA),
        (error("organization_usage_limit_exceeded", "insufficient_quota"), QUOTA),
        (error("billing_not_active"), QUOTA),
        (error("QuotaExceeded"), QUOTA),
        (error("project_spend_limit_exceeded", "insufficient_quota"), SPEND),
        (error("organization_spend_limit_exceeded", "server_error"), SPEND),
        (error("billing_hard_limit_reached"), SPEND),
        (error("team_spend_limit_exceeded"), SPEND),
        # The code is unknown: the type decides.
        (error("new_code", "insufficient_quota"), QUOTA),
        (error(None, "insufficient_quota"), QUOTA),
        (error("429", "insufficient_quota"), QUOTA),
        (error("new_code", "new_type"), RATE),
        (error(None), RATE),
        # Other shapes.
        ({"code": "insufficient_quota"}, QUOTA),
        ([error("insufficient_quota")], QUOTA),
        ({"error": "insufficient_quota"}, RATE),
        ({}, RATE),
        ([], RATE),
        ("text", RATE),
        (None, RATE),
    ],
)
def test_status_follows_from_the_code_of_the_error(body: object, status: str) -> None:
    """Where the code is unknown the type decides; where both are, it counts as rate limiting."""
    assert status_of(json.dumps(body).encode()) == status


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 20_000,
        json.dumps(error("insufficient_quota")).encode() + b" " * MOST_BYTES,
    ],
)
def test_unreadable_body_counts_as_rate_limiting(body: bytes | None) -> None:
    """Such as a body that is not JSON, too deeply nested, too long, or never read."""
    assert status_of(body) == RATE


CLIENTS: dict[str, Callable[[str], Any]] = {
    "openai": lambda url: OpenAI(base_url=url, api_key=KEY),
    "async": lambda url: AsyncOpenAI(base_url=url, api_key=KEY),
    "azure": lambda url: AzureOpenAI(azure_endpoint=url, api_version="2024-10-21", api_key=KEY),
    "async azure": lambda url: AsyncAzureOpenAI(azure_endpoint=url, api_version="2024-10-21", api_key=KEY),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "chat": lambda client: client.chat.completions.create(**REQUEST),
    "streamed": lambda client: client.chat.completions.create(stream=True, **REQUEST),
    "raw": lambda client: client.chat.completions.with_raw_response.create(**REQUEST),
    "responses": lambda client: client.responses.create(model="gpt-5-mini", input="Hello"),
    "embeddings": lambda client: client.embeddings.create(model="text-embedding-3-small", input="Hello"),
    "post": lambda client: client.post("/chat/completions", cast_to=dict, body=REQUEST),
}


def drive(client: Any, way: Callable[[Any], Any]) -> None:
    """Make the call, whichever client it is; it must fail."""

    async def in_a_loop() -> None:
        async with client:
            await way(client)

    with pytest.raises(RateLimitError):
        if isinstance(client, AsyncOpenAI):
            asyncio.run(in_a_loop())
        else:
            way(client)


def refusals(recorded: Recorded) -> dict[str, int]:
    """How the run's attempts were refused."""
    recorded.runs()
    (row,) = recorded.rows(runs)
    (part,) = [part for part in recorded.rows(stage_usage) if part["operation"]]
    names = (
        "attempts",
        "rate_limit_hits",
        "rate_limit_retries",
        "other_retries",
        "quota_hits",
        "spend_limit_hits",
    )
    counts = {name: row[name] for name in names}
    assert {name: part[name] for name in names} == counts
    return {name: count for name, count in counts.items() if count}


EXPECTED = {
    "rate_limit_exceeded": {"rate_limit_hits": 3, "rate_limit_retries": 2},
    "insufficient_quota": {"quota_hits": 3, "other_retries": 2},
    "project_spend_limit_exceeded": {"spend_limit_hits": 3, "other_retries": 2},
}


@pytest.mark.parametrize("code", EXPECTED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", CLIENTS)
def test_each_kind_of_429_has_its_own_count(recorded: Recorded, make: str, way: str, code: str) -> None:
    """This holds for every way to call, although the client discards the body of a failed stream unread."""
    with Answering(lambda _: (429, {"retry-after-ms": "1"}, error(code))) as service:
        with run("analysis", candidates=1), stage("ranking"):
            drive(CLIENTS[make](service.url), WAYS[way])
    assert refusals(recorded) == {"attempts": 3, **EXPECTED[code]}


def test_each_attempt_counts_as_its_own_kind(recorded: Recorded) -> None:
    """A call that meets a rate limit and then the quota counts one of each."""
    answers: list[Answer] = [
        (429, {"retry-after-ms": "1"}, error("rate_limit_exceeded")),
        (429, {"retry-after-ms": "1"}, error("insufficient_quota")),
        (
            200,
            {},
            {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": []},
        ),
    ]
    with Answering(lambda _: answers.pop(0)) as service, run("analysis", candidates=1), stage("ranking"):
        OpenAI(base_url=service.url, api_key=KEY).chat.completions.create(**REQUEST)
    assert refusals(recorded) == {
        "attempts": 3,
        "rate_limit_hits": 1,
        "rate_limit_retries": 1,
        "other_retries": 1,
        "quota_hits": 1,
    }


def test_metrics_distinguish_the_kinds_by_status(recorded: Recorded) -> None:
    """The time series of all three statuses exist from the start, at zero."""
    metrics: Metrics = recorded.pipeline.metrics
    with Answering(lambda _: (429, {"retry-after-ms": "1"}, error("insufficient_quota"))) as service:
        with run("analysis", candidates=1), stage("ranking"):
            drive(OpenAI(base_url=service.url, api_key=KEY), WAYS["chat"])
    by_status = {
        labels["status"]: value
        for labels, value in metrics.totals.read(c.OPENAI_ATTEMPTS)
        if labels["stage"] == "ranking" and labels["status"].startswith("429")
    }
    assert by_status == {RATE: 0, QUOTA: 3, SPEND: 0}
    retries = {
        labels["reason"]: value
        for labels, value in metrics.totals.read(c.OPENAI_RETRIES)
        if labels["stage"] == "ranking"
    }
    assert retries == {"rate_limit": 0, "other": 2}
