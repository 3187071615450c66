"""What counting the attempts adds to the cost of a call: ``python -m benchmarks.attempt_hook``.

It measures a chat call through the real client and the real instrumentation, answered in memory: all the
work of a call on this side of the network, and no network. A real call waits a hundred to ten thousand
times as long.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from typing import Final

from openai import OpenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from telemetry.openai import calls as attempts

from ._chat import answered_client, call

ROUNDS: Final = 60
CALLS: Final = 25
"""Calls of a round, with the hook and without it."""
TARGET: Final = 1.10
"""The hook may add a tenth to the cost of the client and the instrumentation without a network."""


def measure(client: OpenAI, provider: TracerProvider) -> tuple[list[float], list[float]]:
    """Return the microseconds per call with and without the hook, one figure for each round."""
    with_hook, without = [], []
    for _ in range(ROUNDS):
        attempts.instrument(provider)
        with_hook.append(microseconds(client))
        attempts.uninstrument()
        without.append(microseconds(client))
    return with_hook, without


def microseconds(client: OpenAI) -> float:
    """Return the time of one call, averaged over a round without its first call."""
    call(client)
    gc.collect()
    gc.disable()
    started = time.process_time_ns()
    for _ in range(CALLS):
        call(client)
    elapsed = time.process_time_ns() - started
    gc.enable()
    return elapsed / CALLS / 1000


def main() -> None:
    """Measure, and print the figures."""
    provider = TracerProvider()
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    with answered_client() as client:
        with_hook, without = measure(client, provider)
    ratio = statistics.median(one / other for one, other in zip(with_hook, without, strict=True))
    print(f"with the hook    {statistics.median(with_hook):7.1f} µs a call")
    print(f"without          {statistics.median(without):7.1f} µs a call")
    figures = {"name": "attempt_hook", "ratio": round(ratio, 3), "target": TARGET, "met": ratio <= TARGET}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
