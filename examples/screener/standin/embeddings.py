"""``/v1/embeddings``."""

import base64
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from .answer import Answer
from .calls import Call
from .errors import ApiError, invalid
from .faults import Fault
from .memory import Memory
from .models import dimensions
from .tokens import tokenize
from .usage import Usage
from .vectors import Vector, embed

MAX_INPUT_TOKENS = 8192

_Input = str | list[int]


class _Request(BaseModel):
    model: str = Field(min_length=1)
    input: str | list[str] | list[int] | list[list[int]]
    dimensions: int | None = Field(None, ge=1)
    encoding_format: Literal["float", "base64"] = "float"

    @property
    def inputs(self) -> list[_Input]:
        """The list of inputs; a plain list of numbers is one input of tokens."""
        if isinstance(self.input, str):
            return [self.input]
        tokens = [each for each in self.input if isinstance(each, int)]
        return [tokens] if tokens else [each for each in self.input if not isinstance(each, int)]


def answer(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    """Answer an embeddings request.

    Raises:
        ApiError: The request is malformed, or an input is empty or too long; 400 naming the parameter.
    """
    try:
        request = _Request.model_validate(call.body)
    except ValidationError as error:
        raise invalid(error) from None
    full = dimensions(call.served_model)
    if request.dimensions and request.dimensions > full:
        raise ApiError(400, f"{request.model} has at most {full} dimensions.", param="dimensions")
    usage = Usage(input_tokens=sum(_checked_lengths(request)))
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(vector, request.encoding_format)}
        for index, vector in enumerate(
            embed(_as_text(each), full, request.dimensions) for each in request.inputs
        )
    ]
    body: dict[str, Any] = {"object": "list", "data": data, "model": call.served_model}
    if not fault.omit_usage:
        body["usage"] = {"prompt_tokens": usage.input_tokens, "total_tokens": usage.total_tokens}
    return Answer(usage, body=body, usage_reported=not fault.omit_usage)


def _checked_lengths(request: _Request) -> list[int]:
    lengths = [len(tokenize(each)) if isinstance(each, str) else len(each) for each in request.inputs]
    if not all(request.inputs) or not 1 <= len(lengths) <= 2048:
        raise ApiError(
            400, "'$.input' is invalid: 1 to 2048 inputs are needed, none of them empty.", param="input"
        )
    if max(lengths) > MAX_INPUT_TOKENS:
        raise ApiError(
            400,
            f"This model's maximum context length is {MAX_INPUT_TOKENS} tokens, "
            f"however you requested {max(lengths)} tokens.",
            param="input",
            code="context_length_exceeded",
        )
    return lengths


def _as_text(each: _Input) -> str:
    return each if isinstance(each, str) else " ".join(map(str, each))


def _encode(vector: Vector, encoding: str) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode()
    return [float(each) for each in vector.astype(np.float32)]
