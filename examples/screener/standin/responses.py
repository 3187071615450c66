"""``/v1/responses``, plain and streamed, and ``/v1/responses/<id>``."""

import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .answer import Answer
from .calls import Call, content_text, fingerprint
from .errors import ApiError, invalid
from .faults import Fault
from .generation import Generation, Message, converse
from .memory import Memory, StoredResponse
from .models import dated
from .response_events import events
from .tiers import BilledTier, Tier, billed
from .usage import Usage


class _Text(BaseModel):
    model_config = ConfigDict(extra="allow")

    format: dict[str, Any] = {"type": "text"}


class _Request(BaseModel):
    """The fields of a request that the stand-in reads; others are accepted and ignored."""

    model: str = Field(min_length=1)
    input: str | list[dict[str, Any]] = Field(min_length=1)
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    text: _Text = _Text()
    service_tier: Tier | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    metadata: dict[str, str] | None = None

    @property
    def wants_json(self) -> bool:
        return self.text.format.get("type") != "text"

    @property
    def messages(self) -> tuple[Message, ...]:
        if isinstance(self.input, str):
            return (Message("user", self.input),)
        return tuple(
            Message(str(each.get("role") or each.get("type")), content_text(each.get("content")))
            for each in self.input
        )


def answer(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Answer a request and, unless asked not to, store the response.

    Raises:
        ApiError: The request is malformed, or continues an unknown response; 400 naming the parameter.
    """
    try:
        request = _Request.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    conversation = (*_continued(request, call, memory), *request.messages)
    system = (Message("system", request.instructions),) if request.instructions else ()
    generation = converse(
        call,
        (*system, *conversation),
        fault,
        memory.prompts,
        want_json=request.wants_json,
        limit=request.max_output_tokens,
    )
    tier = billed(request.service_tier, fault.service_tier)
    body = _body(request, call, attempt, generation, tier)
    if request.store is not False:
        said = (*conversation, Message("assistant", generation.content))
        memory.responses.put(call.authorization, StoredResponse(body, said))
    reported = not fault.omit_usage
    sent = body if reported else {**body, "usage": None}
    if not request.stream:
        return Answer(generation.usage, body=sent, usage_reported=reported, service_tier=tier)
    chunks = tuple(events(sent, asked_tier=request.service_tier or "auto"))
    return Answer(generation.usage, events=chunks, usage_reported=reported, service_tier=tier)


def retrieve(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Return a stored response, free of charge, with the usage that was billed when it was created.

    Raises:
        ApiError: 404 for an id that is unknown for this key, 400 for a streamed request.
    """
    wanted = call.parameters["response_id"]
    stored = memory.responses.get(call.authorization, wanted)
    if stored is None:
        raise ApiError(404, f"Response with id '{wanted}' not found.")
    if call.parameters.get("stream") == "true":
        raise ApiError(400, "Only responses made in the background can be streamed later.", param="stream")
    body = {**stored.body, "usage": None} if fault.omit_usage else stored.body
    return Answer(None, body=body, usage_reported=False, model=body["model"])


def _continued(request: _Request, call: Call, memory: Memory) -> tuple[Message, ...]:
    if not request.previous_response_id:
        return ()
    stored = memory.responses.get(call.authorization, request.previous_response_id)
    if stored is None:
        raise ApiError(
            400,
            f"Previous response with id '{request.previous_response_id}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    return stored.conversation


def _body(
    request: _Request, call: Call, attempt: int, generation: Generation, tier: BilledTier
) -> dict[str, Any]:
    number = fingerprint(f"{call.key}/{attempt}".encode())
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed" if generation.complete else "incomplete",
        "background": False,
        "error": None,
        "incomplete_details": None if generation.complete else {"reason": "max_output_tokens"},
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "model": dated(call.served_model),
        "output": _output(number, generation),
        "parallel_tool_calls": True,
        "previous_response_id": request.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": tier,
        "store": request.store is not False,
        "temperature": 1.0,
        "text": request.text.model_dump(),
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage_body(generation.usage),
        "user": None,
    }


def _output(number: str, generation: Generation) -> list[dict[str, Any]]:
    """Return the hidden reasoning, where there is any, and the message, where the limit left room for one."""
    output: list[dict[str, Any]] = []
    if generation.usage.reasoning_tokens:
        output.append({"id": f"rs_{number}", "type": "reasoning", "summary": []})
    if generation.content:
        output.append(
            {
                "id": f"msg_{number}",
                "type": "message",
                "status": "completed" if generation.complete else "incomplete",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": generation.content, "annotations": [], "logprobs": []}
                ],
            }
        )
    return output


def _usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
