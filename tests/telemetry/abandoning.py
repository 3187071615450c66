"""Abandon streamed answers, so that they are finalized while a context variable is being set.

`python -m tests.telemetry.abandoning BASE_URL ROUNDS` starts a garbage collection at one allocation after
the other, and prints the number of calls. CPython 3.11 crashes if a finalizer sets a context variable then.
"""

from __future__ import annotations

import gc
import sys
from contextvars import ContextVar
from typing import Any

from openai import OpenAI

import telemetry
from telemetry.setup.process import setup_telemetry, shutdown

VARIABLES = [ContextVar[object](f"variable {number}") for number in range(6)]
ALLOCATIONS = 10
"""More allocations than setting a variable takes."""


class Reader:
    """Reads the first event of an answer. It refers to itself, so only the garbage collector frees it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._myself = self
        next(iter(stream))


def main(base_url: str, rounds: int) -> None:
    setup_telemetry()
    gc.disable()
    calls = 0
    with OpenAI(base_url=base_url, api_key="any") as client, telemetry.run("analysis", user_id=7):
        for _ in range(rounds):
            for after in range(1, ALLOCATIONS):
                gc.collect()
                Reader(ask(client))
                collect_after(after)
                calls += 1
        gc.collect()
    shutdown(20)
    print(calls)


def ask(client: OpenAI) -> Any:
    return client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Rank"}], stream=True
    )


def collect_after(allocations: int) -> None:
    """Set variables, with a garbage collection after this number of allocations."""
    gc.set_threshold(gc.get_count()[0] + allocations, 1000, 1000)
    gc.enable()
    for variable in VARIABLES:
        variable.set(object())
    gc.disable()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
