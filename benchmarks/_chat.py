"""The chat call that is measured: the real client, answered in memory.

It includes all the work of a call on this side of the network, and no network. A real call waits a
hundred to ten thousand times as long.

It runs with openai 2 and 3 and imports nothing of ours, because the environments of the peers import it, too.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import openai
from openai import OpenAI

ANSWER: Final[dict[str, Any]] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 0,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
HEADERS: Final = {
    "x-request-id": "req_1",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-limit-tokens": "200000",
    "x-ratelimit-remaining-tokens": "199900",
}


def answered_client() -> OpenAI:
    """Return a client whose requests are answered at once."""
    http = importlib.import_module("httpx2" if int(openai.__version__.partition(".")[0]) >= 3 else "httpx")
    answers = http.MockTransport(lambda request: http.Response(200, json=ANSWER, headers=HEADERS))
    return OpenAI(api_key="none", http_client=http.Client(transport=answers))


def call(client: OpenAI) -> None:
    """Make one chat call."""
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Fit?"}])
