"""What an answer says of its usage: counted where it is plausible, reported as missing where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai._models import construct_type
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from telemetry.pricing.prices import Tokens
from telemetry.usage.answer import MOST_TOKENS, Answer
from telemetry.usage.plain_answer import read_plain
from telemetry.usage.reader import read_answer

MODEL_AND_TIER = ("gpt-4o-mini-2024-07-18", "default")
"""Of the chats below."""
MESSAGE = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "ok", "annotations": []}],
}


def usage(prompt: Any, completion: Any, **details: Any) -> dict[str, Any]:
    """Return a usage of the chat API; ``details`` are those of the prompt."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0, **details},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat(used: object, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "ok", **more.pop("message", {})}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": used,
        **more,
    }


def response(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    used = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1100,
    }
    return {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-mini",
        "output": [*output, MESSAGE],
        "tools": [],
        "usage": used,
        **more,
    }


def both_ways(answer: dict[str, Any], kind: type = ChatCompletion) -> Answer:
    """Read the decoded JSON and the client's object made from it, which must give the same answer."""
    read = read_answer(answer)
    assert read_answer(construct_type(type_=kind, value=answer)) == read
    return read


def test_ordinary_answer_is_read_completely() -> None:
    """Tokens of all kinds, model and tier are read, and nothing is reported as missing."""
    used = usage(1000, 100, cached_tokens=400, cache_write_tokens=300, text_tokens=1000)
    used["completion_tokens_details"].update(reasoning_tokens=60, accepted_prediction_tokens=10)

    assert both_ways(chat(used)) == Answer(
        Tokens(1000, 100, cached=400, reasoning=60, cache_write=300), *MODEL_AND_TIER, shows_tools=True
    )


def test_embeddings_have_no_output() -> None:
    """Nothing is missing if an answer without choices has a usage without output."""
    answer = {"object": "list", "model": "e", "data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    assert read_answer(answer) == Answer(Tokens(7), "e")


def test_embeddings_without_input_tokens_are_missing_usage() -> None:
    """An answer with data and zero tokens was not counted by the service."""
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    answer = {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}
    assert read_answer(answer).missing == ("input_tokens",)


# Implausible counts


@pytest.mark.parametrize(
    ("used", "tokens"),
    [
        pytest.param(usage(1000, 100, cached_tokens=5000), Tokens(1000, 100, cached=1000), id="cached"),
        pytest.param(usage(1000, 100, cached_tokens=-5), Tokens(1000, 100), id="negative part"),
        pytest.param(usage(-200, 100), Tokens(0, 100), id="negative"),
        pytest.param(usage(10**19, 100), Tokens(0, 100), id="huge"),
        pytest.param(usage(1000, 100) | {"total_tokens": 1099}, Tokens(1000, 100), id="total too small"),
        pytest.param(usage(1000, 100) | {"total_tokens": 2000}, Tokens(1000, 100), id="total too large"),
        pytest.param(usage(1000, 100) | {"completion_tokens": None}, Tokens(1000, 0), id="no output"),
        pytest.param(usage(1000, 100) | {"prompt_tokens": None}, Tokens(0, 100), id="no input"),
        pytest.param(
            usage(1000, 0) | {"completion_tokens": 100.5, "total_tokens": 1100.5},
            Tokens(1000, 100),
            id="half",
        ),
        pytest.param(usage(1000, 100, text_tokens=1001), Tokens(1000, 100), id="text"),
        pytest.param(
            usage(1000, 100, cached_tokens=700, cache_write_tokens=400),
            Tokens(1000, 100, cached=700, cache_write=300),
            id="cached and written",
        ),
        pytest.param(
            usage(1000, 100) | {"completion_tokens_details": {"reasoning_tokens": 700}},
            Tokens(1000, 100, reasoning=100),
            id="reasoning",
        ),
        pytest.param(usage(1000, 100) | {"input_tokens": 900}, Tokens(1000, 100), id="stated twice"),
        pytest.param(usage(0, 0), Tokens(0, 0), id="nothing"),
        pytest.param(usage(0, 100), Tokens(0, 100), id="output alone"),
        *(
            pytest.param(used, None, id=name)
            for name, used in {
                "nulls": dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens")),
                "only a total": {"total_tokens": 1100},
                "empty": {},
            }.items()
        ),
    ],
)
def test_implausible_counts_are_a_lower_bound(used: dict[str, Any], tokens: Tokens | None) -> None:
    """An implausible count is left out and reported as missing; the rest counts."""
    read = both_ways(chat(used))
    assert read.tokens == tokens
    assert read.missing
    assert not read.unmodelled


@pytest.mark.parametrize(
    "odd", ["1000.5", "-1", "many", "", True, False, [1000], {"text": 1000}, float("nan"), float("inf")]
)
def test_values_that_are_no_numbers_count_nothing(odd: object) -> None:
    """Strings, booleans and containers are reported as missing."""
    read = read_answer(chat({"prompt_tokens": odd, "completion_tokens": 100}))
    assert read.tokens == Tokens(0, 100)
    assert "prompt_tokens" in read.missing


def test_strings_of_digits_count_but_are_reported() -> None:
    """The client converts them; what the service meant is not certain."""
    read = read_answer(chat({"prompt_tokens": "1000", "completion_tokens": 100}))
    assert read.tokens == Tokens(1000, 100)
    assert read.missing == ("prompt_tokens",)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON has only one type of number."""
    assert read_answer(chat({"prompt_tokens": 1000.0, "completion_tokens": 100})) == Answer(
        Tokens(1000, 100), *MODEL_AND_TIER, shows_tools=True
    )


@pytest.mark.parametrize("details", [None, {}])
def test_details_may_be_absent(details: object) -> None:
    """Then nothing was cached, and nothing is missing."""
    used = usage(1000, 100) | {"prompt_tokens_details": details, "completion_tokens_details": details}
    assert both_ways(chat(used)) == Answer(Tokens(1000, 100), *MODEL_AND_TIER, shows_tools=True)


@pytest.mark.parametrize("details", ["cached", 7, [1]])
def test_details_of_another_shape_are_missing(details: object) -> None:
    """Their counts are unknown."""
    assert read_answer(chat(usage(1000, 100) | {"prompt_tokens_details": details})).missing


# Usage that tokens alone do not price


@pytest.mark.parametrize(
    "name", ["audio_tokens", "image_tokens", "video_tokens", "cache_creation_tokens", "thinking"]
)
def test_unmodelled_detail_makes_the_call_unpriced(name: str) -> None:
    """Audio, images, and unknown details do so if their count is not zero."""
    assert not both_ways(chat(usage(1000, 100, **{name: 0}))).unmodelled
    assert both_ways(chat(usage(1000, 100, **{name: 1}))).unmodelled == (name,)
    spoken = usage(1000, 100)
    spoken["completion_tokens_details"][name] = 1
    assert both_ways(chat(spoken)).unmodelled == (name,)


@pytest.mark.parametrize(
    ("extra", "is_unmodelled"),
    [
        ({"search_queries": 2}, True),
        ({"seconds": 1.5}, True),
        ({"inference_geo": "eu"}, True),
        ({"server_tool_use": {"web_search_requests": 1}}, True),
        ({"pages": [0, 3]}, True),
        ({"server_tool_use": {"web_search_requests": 0}, "note": "", "more": None, "pages": [0]}, False),
    ],
)
def test_unknown_field_of_the_usage_makes_the_call_unpriced(
    extra: dict[str, Any], is_unmodelled: bool
) -> None:
    """It does so unless it is empty or zero: what it counts may be billed."""
    assert bool(both_ways(chat(usage(1000, 100) | extra)).unmodelled) is is_unmodelled


def test_input_cached_for_longer_is_unpriced() -> None:
    """The list has the price for half an hour only."""
    for name, odd in (("ttl_30m_tokens", False), ("ttl_12h_tokens", True)):
        details = {"cache_write_tokens": 200, "cache_write_tokens_details": {name: 200}}
        answer = response()
        answer["usage"]["input_tokens_details"] = details
        assert bool(both_ways(answer, Response).unmodelled) is odd


@pytest.mark.parametrize(
    ("ttl", "written", "is_unmodelled"), [("12h", 200, True), ("30m", 200, False), ("12h", 0, False)]
)
def test_ttl_of_the_answer_decides_where_usage_has_no_details(
    ttl: str, written: int, is_unmodelled: bool
) -> None:
    """A longer time to live than half an hour is unpriced, if anything was written to the cache."""
    answer = response(prompt_cache_options={"mode": "implicit", "ttl": ttl})
    answer["usage"]["input_tokens_details"]["cache_write_tokens"] = written
    assert bool(both_ways(answer, Response).unmodelled) is is_unmodelled


@pytest.mark.parametrize(
    ("item", "is_free"),
    [
        ({"type": "web_search_call", "id": "w", "status": "completed"}, False),
        ({"type": "file_search_call", "id": "f", "status": "completed", "queries": []}, False),
        ({"type": "code_interpreter_call", "id": "c", "status": "completed"}, False),
        ({"type": "image_generation_call", "id": "i", "status": "completed"}, False),
        ({"type": "shell_call", "id": "s", "environment": {"type": "container_reference"}}, False),
        ({"type": "shell_call", "id": "s", "environment": {"type": "local"}}, True),
        ({"type": "crystal_ball_call", "id": "x"}, False),
        ({"type": "mcp_call", "id": "m", "name": "n", "server_label": "s", "arguments": "{}"}, True),
        ({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"}, True),
        ({"type": "reasoning", "id": "r", "summary": []}, True),
    ],
)
def test_tools_run_by_the_service_make_the_call_unpriced(item: dict[str, Any], is_free: bool) -> None:
    """They are read from the output: the service bills their use beside the tokens."""
    read = both_ways(response(item), Response)
    assert read.unmodelled == (() if is_free else (item["type"],))


@pytest.mark.parametrize("tool", ["web_search", "file_search", "function", "mcp"])
def test_a_tool_that_was_offered_and_not_used_is_free(tool: str) -> None:
    """The output would name each use of it."""
    assert not both_ways(response(tools=[{"type": tool}]), Response).unmodelled


def test_local_shell_is_free() -> None:
    """It runs in the application, used or not."""
    tool = {"type": "shell", "environment": {"type": "local"}}
    assert not both_ways(response(tools=[tool]), Response).unmodelled


@pytest.mark.parametrize("tool", ["code_interpreter", "shell"])
def test_offered_container_makes_the_call_unpriced(tool: str) -> None:
    """A container is billed even if the output shows no use of it."""
    assert both_ways(response(tools=[{"type": tool}]), Response).unmodelled == (tool,)


def test_tool_usage_makes_the_call_unpriced() -> None:
    """Tokens of the image tool are not among those of the answer."""
    none = {"image_gen": {"input_tokens": 0, "output_tokens": 0}, "web_search": {"num_requests": 0}}
    some = {"image_gen": {"input_tokens": 9, "output_tokens": 0}, "web_search": {"num_requests": 0}}
    assert not both_ways(response(tool_usage=none), Response).unmodelled
    assert both_ways(response(tool_usage=some), Response).unmodelled == ("tool_usage",)


def test_citations_and_audio_of_a_chat_make_it_unpriced() -> None:
    """A chat that cites pages has searched the web, which is billed."""
    cites = [
        {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
    ]
    assert both_ways(chat(usage(1, 1), message={"annotations": cites})).unmodelled == ("annotations",)
    assert both_ways(chat(usage(1, 1), message={"annotations": []})).unmodelled == ()
    assert read_answer(chat(usage(1, 1), message={"audio": {"id": "a"}})).unmodelled == ("audio",)


@pytest.mark.parametrize("name", ["gpt-4o-search-preview", "gpt-5-search-api-2025-10-14", "o3-deep-research"])
def test_models_that_always_search_are_unpriced(name: str) -> None:
    """Their answers are billed for searches beside tokens."""
    assert read_answer(chat(usage(1, 1), model=name)).unmodelled == ("model",)


# Arbitrary answers


@pytest.mark.parametrize("answer", [None, "text", 7, [], {}, object(), {"usage": None}])
def test_values_that_are_no_answers_have_no_usage(answer: object) -> None:
    """They give no tokens, and nothing unmodelled or missing."""
    assert read_answer(answer) == Answer()


@pytest.mark.parametrize("answer", [lambda it: it, lambda it: {"usage": it}, lambda it: {"output": [it]}])
def test_no_answer_makes_the_reader_raise(answer: Callable[[object], object]) -> None:
    """An unreadable answer is reported as unmodelled or missing."""

    class Hostile:
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError(name)

    read = read_answer(answer(Hostile()))
    assert read.unmodelled or read.missing


COUNTS = st.one_of(
    st.integers(-(10**20), 10**20),
    st.integers(0, 2000),
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(max_size=3),
)
USAGES = st.dictionaries(
    st.sampled_from(
        ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "new"]
    )
    | st.text(max_size=3),
    COUNTS,
) | st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
    optional={
        "total_tokens": COUNTS,
        "prompt_tokens_details": st.dictionaries(
            st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "text_tokens", "new"]),
            COUNTS,
        )
        | COUNTS,
        "completion_tokens_details": st.dictionaries(st.sampled_from(["reasoning_tokens", "new"]), COUNTS),
    },
)


@given(used=USAGES)
def test_parts_of_tokens_never_exceed_their_total(used: dict[str, Any]) -> None:
    """Nor is any count negative, so that no total ever decreases."""
    read = read_answer(chat(used))
    if read.tokens is not None:
        tokens = read.tokens
        assert 0 <= tokens.cached + tokens.cache_write <= tokens.input <= MOST_TOKENS
        assert 0 <= tokens.cached and 0 <= tokens.cache_write
        assert 0 <= tokens.reasoning <= tokens.output <= MOST_TOKENS


@given(prompt=st.integers(1, MOST_TOKENS // 2), completion=st.integers(0, MOST_TOKENS // 2), data=st.data())
def test_usage_is_missing_only_if_a_count_is_implausible(
    prompt: int, completion: int, data: st.DataObject
) -> None:
    """Consistent counts are complete; if any one of them is spoilt, something is missing."""
    cached = data.draw(st.integers(0, prompt))
    used = usage(prompt, completion, cached_tokens=cached)
    assert read_answer(chat(used)).missing == ()

    spoilt = data.draw(st.sampled_from(["prompt_tokens", "completion_tokens"]))
    used[spoilt] = data.draw(
        st.integers(max_value=-1)
        | st.integers(min_value=MOST_TOKENS + 1)
        | st.text()
        | st.booleans()
        | st.none()
    )
    assert read_answer(chat(used)).missing


ORDINARY = st.builds(
    usage,
    st.integers(0, 3000),
    st.integers(0, 3000),
    cached_tokens=st.integers(0, 4000) | st.none(),
    audio_tokens=st.just(0) | st.integers(0, 2),
)
BESIDE = st.dictionaries(
    st.sampled_from(["model", "service_tier", "new", "tool_usage", "moderation", "choices", "speed"]),
    st.none() | st.integers(0, 1) | st.sampled_from(["", "default", "gpt-5-search-api", "priority"]),
    max_size=2,
)
SAID = st.dictionaries(st.sampled_from(["annotations", "audio", "new"]), st.none() | st.just([{"type": "x"}]))


@given(used=ORDINARY | USAGES | st.none(), beside=BESIDE, said=SAID)
def test_answer_of_the_client_reads_as_its_json(
    used: object, beside: dict[str, Any], said: dict[str, Any]
) -> None:
    """The fast path for ordinary answers gives the same result as the thorough one."""
    answer = construct_type(type_=ChatCompletion, value=chat(used, **beside, message=said))
    assert isinstance(answer, ChatCompletion)
    fast, thorough = read_answer(answer), read_answer(answer.model_dump(warnings=False))
    assert fast[:3] == thorough[:3] and fast.shows_tools == thorough.shows_tools
    assert set(fast.unmodelled) == set(thorough.unmodelled) and set(fast.missing) == set(thorough.missing)


def test_ordinary_answer_takes_the_fast_path() -> None:
    """Otherwise every call would pay for the thorough one."""
    content = chat(usage(1000, 100, cached_tokens=512))

    def answered(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=content, headers={"x-request-id": "req_1"})

    with httpx2.Client(transport=httpx2.MockTransport(answered)) as http:
        client = OpenAI(api_key="x", http_client=http)
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    assert read_plain(answer) == read_answer(content)
