"""What is read from the requests of the OpenAI client and from the answers, however they are represented."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from telemetry.usage.answer import Answer
from telemetry.usage.reader import read_answer

from .attempts import LIMIT_HEADERS

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""Longer answers are not searched for usage."""


def body_of_request(options: Any) -> Mapping[str, Any]:
    """Return the body of a request if it is a mapping, else an empty one."""
    body, extra = options.json_data, getattr(options, "extra_json", None)
    known = body if isinstance(body, dict) else {}
    return {**known, **extra} if isinstance(extra, dict) else known


def host_of(client: Any, options: Any) -> str:
    """Return the host of a request: that of its own URL, else that of the client."""
    own = urlsplit(options.url).hostname if "://" in options.url else None
    return own or str(client._base_url.host)


@cache
def is_azure(client_class: type) -> bool:
    """Return whether a class of clients is one of Azure OpenAI."""
    return any(kind.__name__ == "BaseAzureClient" for kind in client_class.__mro__)


def answer_of(decoded: object, response: Any) -> Answer:
    """Read an answer from ``decoded`` if that has its usage, else from the body of ``response``."""
    answer = read_answer(decoded) if decoded is not None else None
    if response is not None and (answer is None or answer.tokens is None):
        body = body_of(response)
        answer = read_answer(body) if body is not None else answer
    return answer or Answer()


def is_decoded(result: object) -> bool:
    """Return whether the client returned a decoded answer, not a raw response or a stream."""
    return hasattr(result, "model_fields_set") or isinstance(result, Mapping)


def limits_in(headers: Any) -> dict[str, str]:
    """Return the rate-limit headers in one pass; each look-up by name would scan all headers."""
    limits: dict[str, str] = {}
    for raw, value in headers.raw:
        if len(raw) in _LENGTHS and (name := _LIMITS.get(raw.lower())) is not None:
            limits[name] = value.decode("latin-1")
    return limits


_LIMITS: Final = {name.encode(): name for name in LIMIT_HEADERS}
_LENGTHS: Final = frozenset(map(len, _LIMITS))


def body_of(response: Any) -> object:
    """Return the decoded JSON of a response; None if it is something else, or too long."""
    kind, content = response.headers.get("content-type", "json"), response.content
    if "json" not in kind or len(content) > MAX_BODY_BYTES:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return None
