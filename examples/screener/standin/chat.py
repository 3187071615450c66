"""``/v1/chat/completions``, plain and streamed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from .answer import Answer
from .azure import CONTENT_FILTER, FIRST_CHUNK, PROMPT_FILTER
from .calls import Call, content_text, fingerprint
from .errors import invalid
from .faults import Fault
from .generation import TOKENS_PER_CHUNK, Generation, Message, converse
from .memory import Memory
from .models import dated
from .tiers import Tier, billed
from .tokens import pieces
from .usage import Usage


class _Message(BaseModel):
    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        return content_text(self.content)


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    """The fields of a chat request that the stand-in reads; others are accepted and ignored."""

    model: str = Field(min_length=1)
    messages: list[_Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=128)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: dict[str, Any] | None = None
    service_tier: Tier | None = None

    @property
    def wants_json(self) -> bool:
        return self.response_format is not None and self.response_format.get("type") != "text"

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


@dataclass(frozen=True)
class _Completion:
    """The parts that plain and streamed answers share."""

    generation: Generation
    choices: int
    azure: bool
    head: dict[str, Any]
    """The fields with which an answer and each of its chunks begin."""

    @property
    def finish_reason(self) -> str:
        return "stop" if self.generation.complete else "length"


def answer(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Answer a chat request.

    Raises:
        ApiError: The request is malformed; 400 naming the parameter.
    """
    try:
        request = _Request.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    completion = _complete(request, call, attempt, fault, memory)
    usage, tier = completion.generation.usage, completion.head["service_tier"]
    if not request.stream:
        body = _body(completion, with_usage=not fault.omit_usage)
        return Answer(usage, body=body, usage_reported=not fault.omit_usage, service_tier=tier)
    asked = bool(request.stream_options and request.stream_options.include_usage)
    reported = asked and not fault.omit_usage
    chunks = tuple(_chunks(completion, asked=asked, reported=reported))
    return Answer(usage, events=chunks, ends_with_done=True, usage_reported=reported, service_tier=tier)


def _complete(request: _Request, call: Call, attempt: int, fault: Fault, memory: Memory) -> _Completion:
    choices = request.n or 1
    generation = converse(
        call,
        [Message(each.role, each.text) for each in request.messages],
        fault,
        memory.prompts,
        want_json=request.wants_json,
        limit=request.limit,
        choices=choices,
    )
    head = {
        "id": f"chatcmpl-{fingerprint(f'{call.key}/{attempt}'.encode())[:29]}",
        "created": int(time.time()),
        "model": dated(call.served_model),
        "service_tier": billed(request.service_tier, fault.service_tier),
        "system_fingerprint": f"fp_{fingerprint(call.served_model.encode())[:10]}",
    }
    return _Completion(generation, choices, call.azure, head)


def _body(done: _Completion, *, with_usage: bool) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": done.generation.content,
        "refusal": None,
        "annotations": [],
    }
    choice = {"message": message, "logprobs": None, "finish_reason": done.finish_reason}
    choices = [
        {"index": index, **choice, **(CONTENT_FILTER if done.azure else {})} for index in range(done.choices)
    ]
    body = {**done.head, "object": "chat.completion", "choices": choices}
    usage = {"usage": _usage_body(done.generation.usage)} if with_usage else {}
    return {**body, **usage, **(PROMPT_FILTER if done.azure else {})}


def _chunks(done: _Completion, *, asked: bool, reported: bool) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream; if usage is requested, all but the last have ``usage: null``."""
    no_usage = {"usage": None} if asked else {}
    head = {**done.head, "object": "chat.completion.chunk", **no_usage}

    def chunk(index: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return {
            **head,
            "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }

    if done.azure:
        yield {**FIRST_CHUNK, **PROMPT_FILTER, **no_usage}
    for index in range(done.choices):
        yield chunk(index, {"role": "assistant", "content": ""})
        for piece in pieces(done.generation.content, TOKENS_PER_CHUNK):
            yield chunk(index, {"content": piece})
        yield chunk(index, {}, done.finish_reason)
    if reported:
        yield {**head, "choices": [], "usage": _usage_body(done.generation.usage)}


def _usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
