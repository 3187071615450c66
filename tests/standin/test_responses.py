"""Responses, through the openai client."""

import asyncio
import json

import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError, OpenAI
from openai.types.responses import Response, ResponseCompletedEvent, ResponseTextDeltaEvent, ResponseUsage
from pydantic import BaseModel, ValidationError

from examples.screener.standin.client import StandIn

QUESTION = "Compare cats and dogs."


class Reply(BaseModel):
    answer: str


def ask(client: OpenAI, model: str = "gpt-4o-mini") -> Response:
    return client.responses.create(model=model, input=QUESTION)


def billed(standin: StandIn) -> list[int | None]:
    return [line["usage"] and line["usage"]["total_tokens"] for line in standin.ledger()["attempts"]]


def test_response_has_all_fields_of_the_clients_model(client: OpenAI) -> None:
    """No field is missing or of another type than in the client's model."""
    response = ask(client, "gpt-5-mini")

    assert Response.model_validate(response.model_dump()) == response
    assert (response.status, response.model) == ("completed", "gpt-5-mini-2025-08-07")
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert "cats" in response.output_text


def test_response_costs_the_same_as_a_chat(standin: StandIn, client: OpenAI) -> None:
    """Instructions count as a system message, and the input as a user message, in content and tokens."""
    response = client.responses.create(model="gpt-5-mini", instructions="Be brief!", input=QUESTION)
    listed = client.responses.create(
        model="gpt-5-mini",
        input=[
            {"role": "system", "content": "Be brief!"},
            {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        ],
    )
    chat = client.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "system", "content": "Be brief!"}, {"role": "user", "content": QUESTION}],
    )
    lines = standin.ledger()["attempts"]

    assert response.output_text == listed.output_text == chat.choices[0].message.content
    assert lines[0]["usage"] == lines[1]["usage"] == lines[2]["usage"]
    assert [line["operation"] for line in lines] == ["responses", "responses", "chat"]


def test_ledger_has_the_usage_of_the_response(standin: StandIn, client: OpenAI) -> None:
    """Input, cached, output and reasoning tokens equal those in the response."""
    for _ in range(2):
        response = client.responses.create(model="gpt-5-mini", input="word " * 1500)
    usage = response.usage

    assert usage and usage.input_tokens_details.cached_tokens == 1408
    assert usage.output_tokens_details.reasoning_tokens > 0
    assert standin.ledger(since=1)["attempts"][0]["usage"] == {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.input_tokens_details.cached_tokens,
        "cache_write_tokens": usage.input_tokens_details.cache_write_tokens,
        "reasoning_tokens": usage.output_tokens_details.reasoning_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def test_stream_equals_a_plain_response(client: OpenAI) -> None:
    """The numbered events are in the service's order, and the last one has the whole response."""
    plain = ask(client)
    events = list(client.responses.create(model="gpt-4o-mini", input=QUESTION, stream=True))
    deltas = [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)]
    kinds = list(dict.fromkeys(event.type for event in events))
    last = events[-1]

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(deltas) == plain.output_text
    assert len(deltas) > 1
    assert isinstance(last, ResponseCompletedEvent)
    assert last.response.usage == plain.usage
    assert last.response.output_text == plain.output_text


def test_every_event_has_all_fields_of_the_clients_model(client: OpenAI) -> None:
    """No field is missing, not even in events of hidden reasoning."""
    for event in client.responses.create(model="gpt-5-mini", input=QUESTION, stream=True):
        assert type(event).model_validate(event.model_dump()) == event


def test_stream_helper_of_the_client_works(client: OpenAI) -> None:
    """The client's stream() returns a parsed response with its usage."""
    with client.responses.stream(model="gpt-5-mini", input=QUESTION, text_format=Reply) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert final.output_parsed and "cats" in final.output_parsed.answer
    assert snapshots[-1] == final.output_text
    assert final.usage and final.usage.output_tokens_details.reasoning_tokens > 0


def test_asynchronous_client_gets_the_same_response(standin: StandIn, client: OpenAI) -> None:
    """This covers plain, streamed, parsed and fetched responses."""

    async def use() -> list[ResponseUsage | None]:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as other:
            plain = await other.responses.create(model="gpt-4o-mini", input=QUESTION)
            async with other.responses.stream(model="gpt-4o-mini", input=QUESTION) as stream:
                streamed = await stream.get_final_response()
            parsed = await other.responses.parse(model="gpt-4o-mini", input=QUESTION, text_format=Reply)
            assert parsed.output_parsed
            fetched = await other.responses.retrieve(plain.id)
            return [plain.usage, streamed.usage, fetched.usage]

    assert asyncio.run(use()) == [ask(client).usage] * 3


def test_invalid_json_cannot_be_parsed_but_is_billed(standin: StandIn, client: OpenAI) -> None:
    """The fault bad_json makes the answer unusable."""
    good = client.responses.parse(model="gpt-4o-mini", input=QUESTION, text_format=Reply)
    standin.faults([{"bad_json": True}])
    with pytest.raises(ValidationError):
        client.responses.parse(model="gpt-4o-mini", input=QUESTION, text_format=Reply)

    assert good.output_parsed
    assert standin.ledger()["attempts"][1]["usage"]["output_tokens"] > 0


def test_response_that_reaches_the_limit_is_incomplete(standin: StandIn, client: OpenAI) -> None:
    """It has the reason; where hidden reasoning uses up the limit, there is no message."""
    short = client.responses.create(model="gpt-4o-mini", input=QUESTION, max_output_tokens=3)
    silent = client.responses.create(model="gpt-5-mini", input=QUESTION, max_output_tokens=16)
    *_, last = client.responses.create(model="gpt-4o-mini", input=QUESTION, max_output_tokens=3, stream=True)

    assert short.incomplete_details and short.incomplete_details.reason == "max_output_tokens"
    assert short.usage and short.usage.output_tokens == 3
    assert [item.type for item in silent.output] == ["reasoning"]
    assert silent.usage and silent.usage.output_tokens == 16
    assert last.type == "response.incomplete"
    assert last.response.usage == short.usage


def test_response_can_be_fetched_free_of_charge(standin: StandIn, client: OpenAI) -> None:
    """The fetched response has the usage that was billed before; nothing more is billed."""
    made = ask(client)
    fetched = client.responses.retrieve(made.id)
    lines = standin.ledger()["attempts"]

    assert fetched == made
    assert billed(standin) == [made.usage and made.usage.total_tokens, None]
    assert (lines[1]["operation"], lines[1]["status"], lines[1]["usage_reported"]) == (
        "retrieval",
        200,
        False,
    )
    assert lines[1]["response_model"] == "gpt-4o-mini-2024-07-18"


def test_unknown_response_cannot_be_fetched(standin: StandIn, client: OpenAI) -> None:
    """It was not stored, belongs to another key, or was cleared."""
    unstored = client.responses.create(model="gpt-4o-mini", input=QUESTION, store=False)
    stored = ask(client)
    with pytest.raises(NotFoundError, match="not found"):
        client.responses.retrieve(unstored.id)
    with pytest.raises(NotFoundError):
        client.with_options(api_key="key-2").responses.retrieve(stored.id)
    standin.clear()
    with pytest.raises(NotFoundError):
        client.responses.retrieve(stored.id)


def test_response_may_continue_an_earlier_one(client: OpenAI) -> None:
    """The earlier conversation is billed again as input; an unknown response cannot be continued."""
    first = ask(client)
    second = client.responses.create(model="gpt-4o-mini", input=QUESTION, previous_response_id=first.id)
    with pytest.raises(BadRequestError) as refusal:
        client.responses.create(model="gpt-4o-mini", input=QUESTION, previous_response_id="resp_0")

    assert first.usage and second.usage
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    assert refusal.value.code == "previous_response_not_found"


def test_fault_rules_apply_to_responses(standin: StandIn, client: OpenAI) -> None:
    """Rules match by task, which the instructions name, by text, by path and by model."""
    for match in ({"task": "rank"}, {"contains": "dogs"}, {"path": "/responses"}, {"model": "gpt-4o"}):
        standin.clear()
        standin.faults([{"match": match, "status": 500, "first_attempts": 1, "retry_after_ms": 10}])
        client.responses.create(model="gpt-4o", instructions="Task: rank", input=QUESTION)

        assert [line["status"] for line in standin.ledger()["attempts"]] == [500, 200]
        assert standin.ledger()["attempts"][0]["task"] == "rank"


def test_errors_and_retries_of_responses(standin: StandIn, client: OpenAI) -> None:
    """A 429 is retried after its Retry-After, a lasting error is raised, and neither is billed."""
    standin.faults([{"status": 429, "first_attempts": 1, "retry_after_ms": 20}])
    usage = ask(client).usage
    standin.faults([{"status": 500}])
    with pytest.raises(InternalServerError):
        ask(client.with_options(max_retries=0))

    assert billed(standin) == [None, usage and usage.total_tokens, None]


def test_omitted_usage_of_a_response_is_billed(standin: StandIn, client: OpenAI) -> None:
    """Plain and streamed responses lack their usage; the ledger has it."""
    usage = ask(client).usage
    standin.faults([{"omit_usage": True}])
    *_, last = client.responses.create(model="gpt-4o-mini", input=QUESTION, stream=True)

    assert ask(client).usage is None
    assert isinstance(last, ResponseCompletedEvent) and last.response.usage is None
    assert billed(standin) == [usage and usage.total_tokens] * 3
    assert [line["usage_reported"] for line in standin.ledger()["attempts"]] == [True, False, False]


def test_malformed_request_is_refused_by_parameter(client: OpenAI) -> None:
    """An empty input is an error of the caller."""
    with pytest.raises(BadRequestError) as refusal:
        client.responses.create(model="gpt-4o", input="")

    assert refusal.value.param == "input"


def test_no_text_of_a_response_reaches_the_ledger(standin: StandIn, client: OpenAI) -> None:
    """The stored response is not part of the ledger."""
    client.responses.create(model="gpt-4o", instructions="Xylophone", input="Zebrowski")
    written = json.dumps(standin.ledger()).lower()

    assert "xylophone" not in written and "zebrowski" not in written
