"""Images, transcriptions and batches: calls whose price does not follow from the text in them."""

import time
from base64 import b64encode
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from .answer import Answer
from .calls import Call, fingerprint
from .errors import invalid
from .faults import Fault
from .memory import Memory
from .tokens import tokenize
from .usage import Usage

IMAGE_TOKENS = 1056
"""Tokens billed for one image."""
_PIXEL = b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q"
    b"\0\0\0\0IEND\xaeB`\x82"
).decode()


class _ImageRequest(BaseModel):
    model: str = Field("gpt-image-1", min_length=1)
    prompt: str = Field(min_length=1)
    n: int = Field(1, ge=1, le=10)


class _TranscriptionRequest(BaseModel):
    model: str = Field(min_length=1)
    prompt: str = ""


class _BatchRequest(BaseModel):
    input_file_id: str = Field(min_length=1)
    endpoint: str = Field(min_length=1)
    completion_window: str = Field(min_length=1)


def image(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Answer with images of one pixel.

    Raises:
        ApiError: The request is malformed; 400 naming the parameter.
    """
    try:
        request = _ImageRequest.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    usage = Usage(input_tokens=len(tokenize(request.prompt)), output_tokens=request.n * IMAGE_TOKENS)
    body = {"created": int(time.time()), "data": [{"b64_json": _PIXEL}] * request.n}
    return _answer(usage, body, fault)


def transcription(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Answer with a transcription, which is always the same.

    Raises:
        ApiError: The request is malformed; 400 naming the parameter.
    """
    try:
        request = _TranscriptionRequest.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    text = "Nothing was said."
    usage = Usage(
        input_tokens=len(tokenize(request.prompt)) + len(call.text), output_tokens=len(tokenize(text))
    )
    return _answer(usage, {"text": text}, fault)


def batch(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Accept a batch, which is billed when it is processed.

    Raises:
        ApiError: The request is malformed; 400 naming the parameter.
    """
    try:
        request = _BatchRequest.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    head = {"id": f"batch_{fingerprint(call.key.encode())[:24]}", "object": "batch", "status": "validating"}
    return Answer(None, body={**head, **request.model_dump(), "created_at": int(time.time())})


def _answer(usage: Usage, body: dict[str, Any], fault: Fault) -> Answer:
    told = {} if fault.omit_usage else {"usage": _usage_body(usage)}
    return Answer(usage, body=body | told, usage_reported=not fault.omit_usage)


def _usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"text_tokens": usage.input_tokens, "image_tokens": 0, "audio_tokens": 0},
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
