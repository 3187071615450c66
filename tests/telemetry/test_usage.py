"""What an answer says about what is billed: counted where it can be right, named where it cannot."""

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

MODEL = ("gpt-4o-mini-2024-07-18", "default")
"""And tier of the chats."""
MESSAGE = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "ok", "annotations": []}],
}


def usage(prompt: Any, completion: Any, **details: Any) -> dict[str, Any]:
    """A usage of the chat API; ``details`` are those of the prompt."""
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
    """Read the decoded JSON and the client's object made from it: they say the same."""
    read = read_answer(answer)
    assert read_answer(construct_type(type_=kind, value=answer)) == read
    return read


def test_an_ordinary_answer() -> None:
    """Tokens of all kinds, model and tier are read, and nothing is odd about it."""
    used = usage(1000, 100, cached_tokens=400, cache_write_tokens=300, text_tokens=1000)
    used["completion_tokens_details"].update(reasoning_tokens=60, accepted_prediction_tokens=10)

    assert both_ways(chat(used)) == Answer(
        Tokens(1000, 100, cached=400, reasoning=60, cache_write=300), *MODEL, shows_tools=True
    )


def test_embeddings_have_no_output() -> None:
    """Of an answer without choices, nothing is missing where its usage names no output."""
    answer = {"object": "list", "model": "e", "data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}}
    assert read_answer(answer) == Answer(Tokens(7), "e")


def test_embeddings_of_nothing() -> None:
    """A service that counts no tokens for what it answered has not counted."""
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    answer = {"object": "list", "model": "e", "data": data, "usage": {"prompt_tokens": 0, "total_tokens": 0}}
    assert read_answer(answer).missing == ("input_tokens",)


# What cannot be right


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
        pytest.param(usage(1000, 100) | {"input_tokens": 900}, Tokens(1000, 100), id="told twice"),
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
def test_counts_that_cannot_be_right_are_a_lower_bound(used: dict[str, Any], tokens: Tokens | None) -> None:
    """What is odd is left out and named; the rest counts."""
    read = both_ways(chat(used))
    assert read.tokens == tokens
    assert read.missing
    assert not read.unmodelled


@pytest.mark.parametrize(
    "odd", ["1000.5", "-1", "many", "", True, False, [1000], {"text": 1000}, float("nan"), float("inf")]
)
def test_what_is_no_number_is_no_count(odd: object) -> None:
    """Text, truth and containers count nothing."""
    read = read_answer(chat({"prompt_tokens": odd, "completion_tokens": 100}))
    assert read.tokens == Tokens(0, 100)
    assert "prompt_tokens" in read.missing


def test_digits_are_a_number_and_odd() -> None:
    """The client takes them for a number; what a service means by them is not sure."""
    read = read_answer(chat({"prompt_tokens": "1000", "completion_tokens": 100}))
    assert read.tokens == Tokens(1000, 100)
    assert read.missing == ("prompt_tokens",)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON has one kind of numbers."""
    assert read_answer(chat({"prompt_tokens": 1000.0, "completion_tokens": 100})) == Answer(
        Tokens(1000, 100), *MODEL, shows_tools=True
    )


@pytest.mark.parametrize("details", [None, {}])
def test_details_may_be_absent(details: object) -> None:
    """Then nothing was cached, and nothing is odd."""
    used = usage(1000, 100) | {"prompt_tokens_details": details, "completion_tokens_details": details}
    assert both_ways(chat(used)) == Answer(Tokens(1000, 100), *MODEL, shows_tools=True)


@pytest.mark.parametrize("details", ["cached", 7, [1]])
def test_details_of_another_shape_are_missing(details: object) -> None:
    """What they would have said is not known."""
    assert read_answer(chat(usage(1000, 100) | {"prompt_tokens_details": details})).missing


# What costs otherwise


@pytest.mark.parametrize(
    "name", ["audio_tokens", "image_tokens", "video_tokens", "cache_creation_tokens", "thinking"]
)
def test_a_detail_that_is_not_modelled_makes_the_call_unpriced(name: str) -> None:
    """Sounds, pictures, and what nobody has heard of yet: when there are any."""
    assert not both_ways(chat(usage(1000, 100, **{name: 0}))).unmodelled
    assert both_ways(chat(usage(1000, 100, **{name: 1}))).unmodelled == (name,)
    spoken = usage(1000, 100)
    spoken["completion_tokens_details"][name] = 1
    assert both_ways(chat(spoken)).unmodelled == (name,)


@pytest.mark.parametrize(
    ("extra", "is_odd"),
    [
        ({"search_queries": 2}, True),
        ({"seconds": 1.5}, True),
        ({"inference_geo": "eu"}, True),
        ({"server_tool_use": {"web_search_requests": 1}}, True),
        ({"pages": [0, 3]}, True),
        ({"server_tool_use": {"web_search_requests": 0}, "note": "", "more": None, "pages": [0]}, False),
    ],
)
def test_a_field_of_the_usage_that_is_not_known(extra: dict[str, Any], is_odd: bool) -> None:
    """What counts something, or says how it was made, is not free."""
    assert bool(both_ways(chat(usage(1000, 100) | extra)).unmodelled) is is_odd


def test_input_that_is_written_for_longer_has_a_price_of_its_own() -> None:
    """Half an hour is what the price of the list is for."""
    for name, odd in (("ttl_30m_tokens", False), ("ttl_12h_tokens", True)):
        details = {"cache_write_tokens": 200, "cache_write_tokens_details": {name: 200}}
        answer = response()
        answer["usage"]["input_tokens_details"] = details
        assert bool(both_ways(answer, Response).unmodelled) is odd


@pytest.mark.parametrize(
    ("ttl", "written", "is_odd"), [("12h", 200, True), ("30m", 200, False), ("12h", 0, False)]
)
def test_so_does_the_answer_that_says_for_how_long(ttl: str, written: int, is_odd: bool) -> None:
    """Where the usage has no details of it."""
    answer = response(prompt_cache_options={"mode": "implicit", "ttl": ttl})
    answer["usage"]["input_tokens_details"]["cache_write_tokens"] = written
    assert bool(both_ways(answer, Response).unmodelled) is is_odd


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
def test_what_the_service_did_is_read_from_the_output(item: dict[str, Any], is_free: bool) -> None:
    """Tools that the service runs itself are billed beside tokens, whatever made it use them."""
    read = both_ways(response(item), Response)
    assert read.unmodelled == (() if is_free else (item["type"],))


@pytest.mark.parametrize("tool", ["web_search", "file_search", "function", "mcp"])
def test_a_tool_that_was_offered_and_not_used_is_free(tool: str) -> None:
    """The output names each call of it."""
    assert not both_ways(response(tools=[{"type": tool}]), Response).unmodelled


def test_a_shell_of_the_applications_own_is_free() -> None:
    """Whether it was used or only offered."""
    tool = {"type": "shell", "environment": {"type": "local"}}
    assert not both_ways(response(tools=[tool]), Response).unmodelled


@pytest.mark.parametrize("tool", ["code_interpreter", "shell"])
def test_a_container_is_billed_whether_it_was_used_or_not(tool: str) -> None:
    """So the output cannot tell; that it was offered is enough."""
    assert both_ways(response(tools=[{"type": tool}]), Response).unmodelled == (tool,)


def test_tokens_of_tools_are_beside_those_of_the_answer() -> None:
    """The image tool has a usage of its own."""
    none = {"image_gen": {"input_tokens": 0, "output_tokens": 0}, "web_search": {"num_requests": 0}}
    some = {"image_gen": {"input_tokens": 9, "output_tokens": 0}, "web_search": {"num_requests": 0}}
    assert not both_ways(response(tool_usage=none), Response).unmodelled
    assert both_ways(response(tool_usage=some), Response).unmodelled == ("tool_usage",)


def test_citations_and_sounds_of_a_chat() -> None:
    """A chat that cites pages has searched for them."""
    cites = [
        {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
    ]
    assert both_ways(chat(usage(1, 1), message={"annotations": cites})).unmodelled == ("annotations",)
    assert both_ways(chat(usage(1, 1), message={"annotations": []})).unmodelled == ()
    assert read_answer(chat(usage(1, 1), message={"audio": {"id": "a"}})).unmodelled == ("audio",)


@pytest.mark.parametrize("name", ["gpt-4o-search-preview", "gpt-5-search-api-2025-10-14", "o3-deep-research"])
def test_models_that_always_search(name: str) -> None:
    """No answer of theirs is paid for by its tokens alone."""
    assert read_answer(chat(usage(1, 1), model=name)).unmodelled == ("model",)


# Whatever comes


@pytest.mark.parametrize("answer", [None, "text", 7, [], {}, object(), {"usage": None}])
def test_what_is_no_answer_says_nothing(answer: object) -> None:
    """No tokens, and nothing odd: the call has no usage."""
    assert read_answer(answer) == Answer()


@pytest.mark.parametrize("answer", [lambda it: it, lambda it: {"usage": it}, lambda it: {"output": [it]}])
def test_no_answer_makes_it_raise(answer: Callable[[object], object]) -> None:
    """What cannot be read is not free."""

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
def test_tokens_are_never_negative_nor_more_than_their_whole(used: dict[str, Any]) -> None:
    """So no total goes down, whatever a service answers."""
    read = read_answer(chat(used))
    if read.tokens is not None:
        tokens = read.tokens
        assert 0 <= tokens.cached + tokens.cache_write <= tokens.input <= MOST_TOKENS
        assert 0 <= tokens.cached and 0 <= tokens.cache_write
        assert 0 <= tokens.reasoning <= tokens.output <= MOST_TOKENS


@given(prompt=st.integers(1, MOST_TOKENS // 2), completion=st.integers(0, MOST_TOKENS // 2), data=st.data())
def test_a_usage_is_odd_only_when_something_is(prompt: int, completion: int, data: st.DataObject) -> None:
    """Of counts that agree nothing is missing; with any one of them spoilt, something is."""
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
def test_an_answer_of_the_client_says_what_its_json_says(
    used: object, beside: dict[str, Any], said: dict[str, Any]
) -> None:
    """The quick way through an ordinary answer comes to what a close look comes to."""
    answer = construct_type(type_=ChatCompletion, value=chat(used, **beside, message=said))
    assert isinstance(answer, ChatCompletion)
    quick, close = read_answer(answer), read_answer(answer.model_dump(warnings=False))
    assert quick[:3] == close[:3] and quick.shows_tools == close.shows_tools
    assert set(quick.unmodelled) == set(close.unmodelled) and set(quick.missing) == set(close.missing)


def test_an_ordinary_answer_is_read_the_quick_way() -> None:
    """Or every call would pay for a close look."""
    sent = chat(usage(1000, 100, cached_tokens=512))

    def answered(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=sent, headers={"x-request-id": "req_1"})

    with httpx2.Client(transport=httpx2.MockTransport(answered)) as http:
        client = OpenAI(api_key="x", http_client=http)
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
    assert read_plain(answer) == read_answer(sent)
