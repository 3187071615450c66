"""Fault rules, through the openai client."""

import json
import time
from typing import Any

import pytest
from openai import APIStatusError, InternalServerError, OpenAI, RateLimitError

from examples.screener.standin.client import StandIn

FAST = {"status": 429, "retry_after_ms": 20}


def ask(client: OpenAI, text: str = "hello", **options: Any) -> str:
    completion = client.chat.completions.create(
        model=options.pop("model", "gpt-4o-mini"), messages=[{"role": "user", "content": text}], **options
    )
    return completion.choices[0].message.content or ""


def statuses(standin: StandIn) -> list[int]:
    return [line["status"] for line in standin.ledger()["attempts"]]


def test_first_attempts_of_every_call_may_be_refused(
    standin: StandIn, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call gets two 429s, then success; the client waits as long as Retry-After says."""
    standin.faults([{**FAST, "first_attempts": 2}])
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    ask(client, "one")
    ask(client, "two")

    assert statuses(standin) == [429, 429, 200] * 2
    assert [line["attempt"] for line in standin.ledger()["attempts"]] == [1, 2, 3] * 2
    assert [line["retry_after_ms"] for line in standin.ledger()["attempts"]] == [20, 20, None] * 2
    assert pauses == [0.02] * 4


def test_rate_limit_error_equals_the_services(standin: StandIn, client: OpenAI) -> None:
    """Body and headers of a 429 are those of the real service."""
    standin.faults([{"status": 429, "retry_after": 1}])
    with pytest.raises(RateLimitError, match="Rate limit reached for gpt-4o-mini") as refusal:
        ask(client.with_options(max_retries=0))

    assert (refusal.value.code, refusal.value.type) == ("rate_limit_exceeded", "requests")
    assert refusal.value.response.headers["retry-after"] == "1"
    assert refusal.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert standin.ledger()["attempts"][0]["retry_after_ms"] == 1000


def test_a_429_may_have_another_code(standin: StandIn, client: OpenAI) -> None:
    """Such as that of a used-up quota, which leaves the rate limits as they are."""
    standin.faults([{"status": 429, "code": "insufficient_quota"}])
    with pytest.raises(RateLimitError) as refusal:
        ask(client.with_options(max_retries=0))

    assert (refusal.value.code, refusal.value.type) == ("insufficient_quota", "insufficient_quota")
    assert refusal.value.response.headers["x-ratelimit-remaining-requests"] != "0"


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_any_error_status_may_be_configured(standin: StandIn, client: OpenAI, status: int) -> None:
    """The client raises the same exception as with the real service, and nothing is billed."""
    standin.faults([{"status": status}])
    with pytest.raises(APIStatusError) as error:
        ask(client.with_options(max_retries=0))

    assert error.value.status_code == status
    assert isinstance(error.value, InternalServerError) is (status >= 500)
    assert standin.ledger()["attempts"][0]["usage"] is None


def test_rule_may_apply_to_the_first_attempts_of_all_calls(standin: StandIn, client: OpenAI) -> None:
    """first_total counts over all calls."""
    standin.faults([{**FAST, "first_total": 1}])
    ask(client, "one")
    ask(client, "two")

    assert statuses(standin) == [429, 200, 200]


def test_rate_chooses_the_same_attempts_every_time(standin: StandIn, client: OpenAI) -> None:
    """About the configured share fails: the same attempts with the same seed, others with another."""

    def run(seed: int) -> list[int]:
        standin.clear()
        standin.faults([{"status": 400, "rate": 0.3}], seed=seed)
        for number in range(60):
            try:
                ask(client, f"question {number}")
            except APIStatusError:
                continue
        return statuses(standin)

    first = run(1)

    assert 8 <= first.count(400) <= 28
    assert run(1) == first != run(2)


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"path": "/chat/completions"}, [True, True]),
        ({"path": "/embeddings"}, [False, False]),
        ({"model": "gpt-4o"}, [False, True]),
        ({"contains": "“Ünïcode”"}, [True, False]),
        ({"contains": ["“Ünïcode”", "Hi"]}, [True, False]),
        ({"contains": ["“Ünïcode”", "JSON"]}, [False, False]),
        ({"task": "rank"}, [False, True]),
        ({"task": "rank", "model": "o3"}, [False, False]),
        ({}, [True, True]),
    ],
)
def test_rule_applies_to_matching_calls_only(
    standin: StandIn, client: OpenAI, match: dict[str, object], hit: list[bool]
) -> None:
    """All conditions under match must hold."""
    standin.faults([{"match": match, "status": 500}])
    client = client.with_options(max_retries=0)
    outcomes = []
    for model, system, text in [("gpt-4o-mini", "Hi", "“Ünïcode”"), ("gpt-4o", "Task: rank\nJSON", "plain")]:
        try:
            client.chat.completions.create(
                model=model,
                messages=[{"role": "system", "content": system}, {"role": "user", "content": text}],
            )
            outcomes.append(False)
        except InternalServerError:
            outcomes.append(True)

    assert outcomes == hit


def test_rules_combine_and_the_earlier_error_wins(standin: StandIn, client: OpenAI) -> None:
    """One rule may delay an attempt that another refuses; of two errors the first one is returned."""
    standin.faults([{"status": 400, "first_total": 1}, {"status": 500, "delay_ms": 60}])
    before = time.monotonic()
    with pytest.raises(APIStatusError) as error:
        ask(client)

    assert error.value.status_code == 400
    assert time.monotonic() - before >= 0.06
    assert standin.ledger()["attempts"][0]["delay_ms"] == 60


def test_omitted_usage_is_billed_all_the_same(standin: StandIn, client: OpenAI) -> None:
    """Chat, stream and embeddings lack their usage; the ledger has it."""
    standin.faults([{"omit_usage": True}])
    completion = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    embedding = client.embeddings.create(model="text-embedding-3-small", input="hi")
    attempts = standin.ledger()["attempts"]

    assert completion.usage is None
    assert all(chunk.usage is None for chunk in chunks)
    assert getattr(embedding, "usage", None) is None
    assert [line["usage_reported"] for line in attempts] == [False] * 3
    assert all(line["usage"]["input_tokens"] > 0 for line in attempts)


def test_content_may_be_invalid_json(standin: StandIn, client: OpenAI) -> None:
    """An answer that should be JSON cannot be parsed."""
    standin.faults([{"bad_json": True}])
    content = ask(client, response_format={"type": "json_object"})

    with pytest.raises(ValueError):
        json.loads(content)
    with pytest.raises(ValueError):
        json.loads(content[content.index("{") :])


def test_clearing_resets_the_counts_of_rules(standin: StandIn, client: OpenAI) -> None:
    """After clear() the same call has its faults again."""
    standin.faults([{**FAST, "first_attempts": 1}])
    ask(client)
    ask(client)
    first = statuses(standin)
    standin.clear()
    ask(client)

    assert first == [429, 200, 200]
    assert statuses(standin) == [429, 200]


def test_reset_restores_the_faults_of_the_start() -> None:
    """Rules that are set later replace those of the start until they are reset."""
    with (
        StandIn([{"status": 500}]) as standin,
        OpenAI(base_url=standin.url, api_key="k", max_retries=0) as client,
    ):
        standin.faults([])
        ask(client)
        standin.reset_faults()
        with pytest.raises(InternalServerError):
            ask(client)


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"status": 200}, "rules.0.status"),
        ({"rate": 1.5}, "rules.0.rate"),
        ({"stauts": 429}, "rules.0.stauts"),
        ({"match": {"url": "/v1"}}, "rules.0.match.url"),
    ],
)
def test_invalid_rule_is_refused_by_field(standin: StandIn, rule: dict[str, Any], field: str) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=field):
        standin.faults([rule])


def test_incomplete_body_is_billed(standin: StandIn, client: OpenAI) -> None:
    """The client got the 200, but not the whole answer; it retries, and both are in the ledger."""
    standin.faults([{"break_body": True, "first_attempts": 1}])
    ask(client.with_options(max_retries=1))
    broken, whole = standin.ledger()["attempts"]

    assert (broken["status"], broken["cut"], broken["usage_reported"]) == (200, True, False)
    assert broken["usage"] == whole["usage"]
