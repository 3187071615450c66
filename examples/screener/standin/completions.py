"""``/v1/completions``, the legacy text completions, plain and streamed."""

import time
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from .answer import Answer
from .calls import Call, fingerprint
from .errors import invalid
from .faults import Fault
from .generation import TOKENS_PER_CHUNK, Generation, generate
from .memory import Memory
from .models import dated
from .tokens import pieces, tokenize
from .usage import Usage

_DEFAULT_LIMIT = 16


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    """The fields of a request that the stand-in reads; others are accepted and ignored."""

    model: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


def answer(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Answer a completion request with one prompt.

    Raises:
        ApiError: The request is malformed; 400 naming the parameter.
    """
    try:
        request = _Request.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    generation = generate(
        call,
        tokenize(request.prompt),
        request.prompt,
        fault,
        memory.prompts,
        want_json=False,
        limit=request.max_tokens or _DEFAULT_LIMIT,
    )
    head = {
        "id": f"cmpl-{fingerprint(f'{call.key}/{attempt}'.encode())[:29]}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": dated(call.served_model),
    }
    usage, reported = generation.usage, not fault.omit_usage
    if not request.stream:
        body = {**head, "choices": [_choice(generation.content, _reason(generation))]}
        return Answer(
            usage, body={**body, "usage": _usage_body(usage)} if reported else body, usage_reported=reported
        )
    asked = bool(request.stream_options and request.stream_options.include_usage)
    chunks = tuple(_chunks(head, generation, asked=asked, reported=asked and reported))
    return Answer(usage, events=chunks, ends_with_done=True, usage_reported=asked and reported)


def _chunks(
    head: dict[str, Any], done: Generation, *, asked: bool, reported: bool
) -> Iterator[dict[str, Any]]:
    head = {**head, **({"usage": None} if asked else {})}
    for piece in pieces(done.content, TOKENS_PER_CHUNK):
        yield {**head, "choices": [_choice(piece, None)]}
    yield {**head, "choices": [_choice("", _reason(done))]}
    if reported:
        yield {**head, "choices": [], "usage": _usage_body(done.usage)}


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}


def _reason(done: Generation) -> str:
    return "stop" if done.complete else "length"


def _usage_body(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
