"""``/v1/chat/completions``, plain and streamed."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from .answer import Answer
from .calls import Call, content_text, fingerprint
from .errors import invalid
from .faults import Fault
from .models import caches_prompts, dated, reasoning_tokens
from .tasks import reply
from .tokens import pieces, tokenize, truncate
from .usage import PromptCache, Usage

_TOKENS_PER_CHUNK = 4
_TIERS = {None: "default", "auto": "default"}


class _Message(BaseModel):
    role: str
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        return content_text(self.content)


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    """What the stand-in reads of a chat request; the rest is accepted and ignored."""

    model: str = Field(min_length=1)
    messages: list[_Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = Field(None, ge=1, le=128)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: dict[str, Any] | None = None
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = None

    @property
    def wants_json(self) -> bool:
        return self.response_format is not None and self.response_format.get("type") != "text"

    @property
    def prompt(self) -> list[str]:
        """The tokens of the prompt: three a message beside its text, as the service counts them."""
        return [
            token for each in self.messages for token in ("<start>", each.role, "<end>", *tokenize(each.text))
        ]

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


@dataclass(frozen=True)
class _Completion:
    """The pieces that plain and streamed answers share."""

    content: str
    choices: int
    finish_reason: str
    usage: Usage
    head: dict[str, Any]
    """What an answer and each of its chunks begin with."""


def answer(call: Call, attempt: int, fault: Fault, cache: PromptCache) -> Answer:
    """Answer a chat request.

    Raises:
        ApiError: The request is malformed; 400 naming the parameter.
    """
    try:
        request = _Request.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    completion = _complete(request, call, attempt, fault, cache)
    tier = completion.head["service_tier"]
    if not request.stream:
        body = _body(completion, with_usage=not fault.omit_usage)
        return Answer(completion.usage, body=body, usage_reported=not fault.omit_usage, service_tier=tier)
    asked = bool(request.stream_options and request.stream_options.include_usage)
    reported = asked and not fault.omit_usage
    events = (*map(json.dumps, _chunks(completion, asked=asked, reported=reported)), "[DONE]")
    return Answer(completion.usage, events=events, usage_reported=reported, service_tier=tier)


def _complete(request: _Request, call: Call, attempt: int, fault: Fault, cache: PromptCache) -> _Completion:
    prompt = request.prompt
    user = "\n".join(each.text for each in request.messages if each.role == "user")
    full = reply(call.task, user, want_json=request.wants_json)
    if fault.bad_json:
        full = f"Here you are: {full[: len(full) // 2]}"
    reasoning = reasoning_tokens(request.model, prompt)
    reasoning = min(reasoning, request.limit or reasoning)
    content = full if request.limit is None else truncate(full, request.limit - reasoning)
    choices = request.n or 1
    owner = f"{call.authorization}/{request.model}"
    usage = Usage(
        input_tokens=len(prompt) + 3,
        output_tokens=choices * (len(tokenize(content)) + reasoning),
        cached_tokens=cache.cached_tokens(owner, prompt) if caches_prompts(request.model) else 0,
        reasoning_tokens=choices * reasoning,
    )
    head = {
        "id": f"chatcmpl-{fingerprint(f'{call.key}/{attempt}'.encode())[:29]}",
        "created": int(time.time()),
        "model": dated(request.model),
        "service_tier": _TIERS.get(request.service_tier, request.service_tier),
        "system_fingerprint": f"fp_{fingerprint(request.model.encode())[:10]}",
    }
    return _Completion(content, choices, "stop" if content == full else "length", usage, head)


def _body(done: _Completion, *, with_usage: bool) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": done.content,
        "refusal": None,
        "annotations": [],
    }
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": done.finish_reason}
        for index in range(done.choices)
    ]
    body = {**done.head, "object": "chat.completion", "choices": choices}
    return {**body, "usage": _usage_body(done.usage)} if with_usage else body


def _chunks(done: _Completion, *, asked: bool, reported: bool) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream; with usage asked for, all but the last carry ``usage: null``."""
    head = {**done.head, "object": "chat.completion.chunk", **({"usage": None} if asked else {})}

    def chunk(index: int, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        return {
            **head,
            "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }

    for index in range(done.choices):
        yield chunk(index, {"role": "assistant", "content": ""})
        for piece in pieces(done.content, _TOKENS_PER_CHUNK):
            yield chunk(index, {"content": piece})
        yield chunk(index, {}, done.finish_reason)
    if reported:
        yield {**head, "choices": [], "usage": _usage_body(done.usage)}


def _usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
