"""What counting the attempts costs a call: ``python -m benchmarks.attempt_hook``.

A chat call through the real client and the real instrumentation, answered in memory: all the work a call
makes on this side of the network, and nothing of the network. A real call waits a hundred to ten thousand
times as long.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from typing import Any, Final

import httpx2
from openai import OpenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from telemetry import openai as attempts

ROUNDS: Final = 60
CALLS: Final = 25
"""Calls of a round, with the hook and again without it."""
TARGET: Final = 1.10
"""The hook may add a tenth to what the client and the instrumentation cost without a network."""

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


def measure(client: OpenAI, provider: TracerProvider) -> tuple[list[float], list[float]]:
    """Return microseconds a call, with and without the hook, one figure a round."""
    with_hook, without = [], []
    for _ in range(ROUNDS):
        attempts.instrument(provider)
        with_hook.append(microseconds(client))
        attempts.uninstrument()
        without.append(microseconds(client))
    return with_hook, without


def microseconds(client: OpenAI) -> float:
    """Return the time of one call, averaged over a round, the first call not counted."""
    call(client)
    gc.collect()
    gc.disable()
    started = time.process_time_ns()
    for _ in range(CALLS):
        call(client)
    elapsed = time.process_time_ns() - started
    gc.enable()
    return elapsed / CALLS / 1000


def call(client: OpenAI) -> None:
    """Make one chat call."""
    client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Fit?"}])


def main() -> None:
    """Measure, and print the figures."""
    provider = TracerProvider()
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    answers = httpx2.MockTransport(lambda request: httpx2.Response(200, json=ANSWER, headers=HEADERS))
    with OpenAI(api_key="none", http_client=httpx2.Client(transport=answers)) as client:
        with_hook, without = measure(client, provider)
    ratio = statistics.median(one / other for one, other in zip(with_hook, without, strict=True))
    print(f"with the hook    {statistics.median(with_hook):7.1f} µs a call")
    print(f"without          {statistics.median(without):7.1f} µs a call")
    figures = {"name": "attempt_hook", "ratio": round(ratio, 3), "target": TARGET, "met": ratio <= TARGET}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
