"""The cost of a call, from the client to the database: exact, or marked as incomplete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AzureOpenAI, OpenAI

from exporters.sql.schema.tables import runs, stage_usage
from telemetry import run, stage
from tests.telemetry.answering import Answering
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded
from tests.telemetry.test_usage import chat, response, usage

KEY = "any"
REQUEST: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
GOOD = 1000 * 150_000 + 100 * 600_000
"""Pico-dollars of a chat of 1,000 and 100 tokens with gpt-4o-mini."""

Do = Callable[[str], object]


def spent(recorded: Recorded, answer: Any, do: Do) -> dict[str, Any]:
    """Let ``do`` make its calls at a server that gives ``answer``, and return the row of the run."""
    with Answering(lambda body: (200, {}, answer(body) if callable(answer) else answer)) as service:
        with run("analysis", candidates=1), stage("ranking"):
            do(service.url)
    recorded.runs()
    (row,) = recorded.rows(runs)
    return row


def ask(url: str, **more: Any) -> None:
    OpenAI(base_url=url, api_key=KEY).chat.completions.create(**REQUEST | more)


def respond(url: str, **more: Any) -> None:
    OpenAI(base_url=url, api_key=KEY).responses.create(**{"model": "gpt-5-mini", "input": "Hello", **more})


def through_proxy(host: str) -> Do:
    """Call ``host``, whose requests a proxy answers."""

    def do(url: str) -> None:
        with httpx2.Client(proxy=url) as http:
            client = OpenAI(base_url=f"http://{host}/v1", api_key=KEY, http_client=http)
            client.chat.completions.create(**REQUEST)
            client.post("/chat/completions", cast_to=dict, body=REQUEST)

    return do


# Implausible counts


ODD = {
    "cached": usage(1000, 100, cached_tokens=5000),
    "negative": usage(-200, 100),
    "negative part": usage(1000, 100, cached_tokens=-5),
    "nulls": dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens")),
    "no output": {"prompt_tokens": 1000, "completion_tokens": None, "total_tokens": 1000},
    "half": {"prompt_tokens": 1000, "completion_tokens": 100.5, "total_tokens": 1100.5},
    "only total": {"total_tokens": 1100},
    "empty": {},
    "huge": usage(10**19, 100),
    "nearly as huge": usage(9 * 10**18, 100),
    "reasoning": usage(1000, 100) | {"completion_tokens_details": {"reasoning_tokens": 700}},
    "total": usage(1000, 100) | {"total_tokens": 5},
}


@pytest.mark.parametrize("odd", ODD)
def test_implausible_counts_make_the_cost_a_lower_bound(recorded: Recorded, odd: str) -> None:
    """The good call counts in full, and of the other only the plausible counts."""
    answers = [chat(usage(1000, 100)), chat(ODD[odd])]

    def do(url: str) -> None:
        ask(url)
        ask(url)

    row = spent(recorded, lambda _: answers.pop(0), do)
    assert row["api_calls"] == 2
    assert row["input_tokens"] in (1000, 2000) and row["output_tokens"] in (100, 200)
    assert GOOD <= row["cost_pico"] <= 2 * GOOD
    assert not row["cost_complete"]
    assert min(row["cached_tokens"], row["reasoning_tokens"], row["cache_write_tokens"]) >= 0


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": 0, "audio_tokens": None}])
def test_absent_details_leave_the_cost_complete(recorded: Recorded, details: Any) -> None:
    """They mean zero."""
    used = usage(1000, 100) | {"prompt_tokens_details": details, "completion_tokens_details": details}
    row = spent(recorded, chat(used), ask)
    assert (row["cost_pico"], row["cost_complete"]) == (GOOD, True)


# Usage that tokens alone do not price


def spoken(**details: int) -> dict[str, Any]:
    return usage(2000, 500) | {"completion_tokens_details": details}


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ("gpt-4o-audio-preview-2025-06-03", usage(2000, 500, audio_tokens=1800)),
        ("gpt-4o-mini-audio-preview-2024-12-17", spoken(audio_tokens=450)),
        ("gpt-audio-2025-08-28", usage(2000, 500, audio_tokens=1800)),
        ("gpt-4o-2024-11-20", usage(2000, 500, audio_tokens=1800)),
        ("gpt-4o-2024-11-20", spoken(audio_tokens=1)),
        ("gpt-4o-2024-11-20", usage(2000, 500, image_tokens=700)),
        ("gpt-4o-2024-11-20", usage(2000, 500, tokens_of_a_new_kind=1)),
        ("gpt-4o-2024-11-20", usage(2000, 500) | {"search_units": 3}),
        ("gpt-4o-2024-11-20", usage(2000, 500) | {"inference_geo": "eu"}),
        ("gpt-4o-mini-search-preview", usage(2000, 500)),
        ("gpt-4", usage(2000, 500, cached_tokens=1024)),
        ("gpt-4o-mini-clone", usage(2000, 500)),
        ("my-gpt-4o", usage(2000, 500)),
    ],
)
@pytest.mark.parametrize("way", ["method", "raw", "post"])
def test_usage_beyond_text_tokens_is_unpriced(recorded: Recorded, model: str, used: Any, way: str) -> None:
    """Its tokens count, but are never priced as text."""

    def do(url: str) -> None:
        client = OpenAI(base_url=url, api_key=KEY)
        if way == "method":
            client.chat.completions.create(**REQUEST)
        elif way == "raw":
            client.chat.completions.with_raw_response.create(**REQUEST)
        else:
            client.post("/chat/completions", cast_to=dict, body=REQUEST)

    row = spent(recorded, chat(used, model=model), do)
    assert (row["cost_pico"], row["unpriced"], row["cost_complete"]) == (0, 1, False)
    assert (row["input_tokens"], row["output_tokens"]) == (2000, 500)


SEARCHED = {
    "type": "web_search_call",
    "id": "w",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}
TOOL = {"type": "web_search"}


@pytest.mark.parametrize(
    "arguments",
    [
        {"tools": [TOOL]},
        {"tools": (TOOL,)},
        {"extra_body": {"tools": [TOOL]}},
        {"prompt": {"id": "pmpt_1", "version": "2"}},
        {"conversation": "conv_1"},
        {},
    ],
)
def test_search_by_the_service_is_unpriced(recorded: Recorded, arguments: dict[str, Any]) -> None:
    """It is read from the answer, since a stored prompt or a conversation may have allowed the search."""
    row = spent(recorded, response(SEARCHED, tools=[TOOL]), lambda url: respond(url, **arguments))
    assert (row["unpriced"], row["unmodelled"], row["cost_complete"]) == (1, 1, False)


def test_tools_may_be_a_generator(recorded: Recorded) -> None:
    """Telemetry reads the answer, and does not consume the request."""
    row = spent(recorded, response(SEARCHED), lambda url: respond(url, tools=(tool for tool in [TOOL])))
    assert not row["cost_complete"]


def test_search_that_was_not_used_is_free(recorded: Recorded) -> None:
    """The cost is that of the tokens."""
    row = spent(recorded, response(tools=[TOOL]), lambda url: respond(url, tools=[TOOL]))
    assert (row["cost_pico"], row["cost_complete"]) == (1000 * 250_000 + 100 * 2_000_000, True)


@pytest.mark.parametrize("tool", ["code_interpreter", "shell"])
def test_offered_container_makes_the_cost_incomplete(recorded: Recorded, tool: str) -> None:
    """It may be billed although the output shows no use of it."""
    row = spent(recorded, response(tools=[{"type": tool}]), lambda url: respond(url, tools=[{"type": tool}]))
    assert not row["cost_complete"]


# Prices by provider


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(
        """version = "c1"
[[price]]
model = "gpt-4o-mini*"
provider = "azure"
input = 0.1
cached_input = 0.05
output = 0.4
[[price]]
model = "gpt-4.1*"
provider = "openai"
input = 1.0
output = 4.0
[[price]]
model = "llama*"
input = 7
output = 7
"""
    )
    return path


@pytest.fixture
def priced(record: Record, prices: Path) -> Iterator[Recorded]:
    yield record(prices_file=prices)


def azure(url: str) -> AzureOpenAI:
    return AzureOpenAI(azure_endpoint=url, api_version="2024-10-21", api_key=KEY)


def by_azure_method(url: str) -> None:
    azure(url).chat.completions.create(**REQUEST | {"model": "my-deployment"})


def by_azure_responses(url: str) -> None:
    azure(url).responses.create(model="my-deployment", input="Hello")


def by_azure_post(url: str) -> None:
    azure(url).post("/chat/completions", cast_to=dict, body=REQUEST | {"model": "my-deployment"})


def by_azure_copy(url: str) -> None:
    azure(url).with_options(timeout=9).chat.completions.with_raw_response.create(**REQUEST)


@pytest.mark.parametrize("do", [by_azure_method, by_azure_responses, by_azure_post, by_azure_copy])
def test_azure_client_has_azure_prices(priced: Recorded, do: Do) -> None:
    """The price of the file for Azure applies, in whatever way the call is made."""
    answer = (
        {**response(), "model": "gpt-4o-mini-2024-07-18"}
        if do is by_azure_responses
        else chat(usage(1000, 100))
    )
    row = spent(priced, answer, do)
    assert (row["cost_pico"], row["cost_complete"]) == (1000 * 100_000 + 100 * 400_000, True)


def test_price_for_openai_does_not_apply_to_azure(priced: Recorded) -> None:
    """The price of the list for Azure applies instead."""
    row = spent(priced, chat(usage(1000, 100), model="gpt-4.1-2025-04-14"), by_azure_method)
    assert row["cost_pico"] == 1000 * 2_000_000 + 100 * 8_000_000


@pytest.mark.parametrize(
    ("host", "pico"),
    [
        ("api.openai.com", GOOD),
        ("eu.api.openai.com", GOOD),
        ("acme.openai.azure.com", 140_000_000),
        ("acme.cognitiveservices.azure.com", 140_000_000),
        ("acme.services.ai.azure.com", 140_000_000),
        ("openrouter.ai", None),
        ("vllm.internal", None),
    ],
)
def test_host_decides_whose_prices_apply(priced: Recorded, host: str, pico: int | None) -> None:
    """This holds for methods and for `post`."""
    row = spent(priced, chat(usage(1000, 100)), through_proxy(host))
    assert row["api_calls"] == 2
    assert (row["cost_pico"], row["cost_complete"]) == ((0, False) if pico is None else (2 * pico, True))


def test_newer_models_at_regional_endpoints_are_unpriced(recorded: Recorded) -> None:
    """They cost more there, and the list does not say how much."""
    row = spent(recorded, chat(usage(1000, 100), model="gpt-6-sol"), through_proxy("eu.api.openai.com"))
    assert (row["cost_pico"], row["cost_complete"]) == (0, False)


def test_price_without_a_provider_applies_to_all(priced: Recorded) -> None:
    """It may price the models of other services."""
    row = spent(priced, chat(usage(1000, 100), model="llama-4"), through_proxy("vllm.internal"))
    assert (row["cost_pico"], row["cost_complete"]) == (2 * 1100 * 7_000_000, True)


def test_declared_gateway_has_openais_prices(record: Record) -> None:
    """The setting `openai_hosts` declares it."""
    recorded = record(openai_hosts=("gateway.internal",))
    row = spent(recorded, chat(usage(1000, 100)), through_proxy("gateway.internal"))
    assert (row["cost_pico"], row["cost_complete"]) == (2 * GOOD, True)


@pytest.mark.parametrize(
    ("model", "pico"),
    [
        ("ft:gpt-4o-mini-2024-07-18:org::abc", 3_000_000_000),
        ("ft:gpt-4o-2024-08-06:org::abc", 37_500_000_000),
        ("ft:gpt-4.1-2025-04-14:org::abc", None),
    ],
)
def test_fine_tuned_models_have_the_announced_price_of_cached_input(
    recorded: Recorded, model: str, pico: int | None
) -> None:
    """Where none was announced they are unpriced."""
    row = spent(recorded, chat(usage(10_000, 1_000, cached_tokens=8_000), model=model), ask)
    assert (row["cost_pico"], row["cost_complete"]) == (pico or 0, pico is not None)


def test_stage_rows_mark_unmodelled_usage(recorded: Recorded) -> None:
    """Repricing must not price it as text."""
    spent(recorded, chat(usage(1000, 100, audio_tokens=5)), ask)
    (part,) = [part for part in recorded.rows(stage_usage) if part["operation"]]
    assert (part["unpriced"], part["unmodelled"], part["usage_missing"]) == (1, 1, 0)
