"""Abandon streamed answers, and count exceptions of a signal handler that are lost meanwhile.

`python -m tests.telemetry.signalled BASE_URL TIMERS` prints the number of lost exceptions and of calls.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import sys
import time
from typing import Any

from openai import OpenAI

import telemetry
from telemetry.setup.process import setup_telemetry, shutdown

PAYLOAD = json.dumps([{"number": number, "texts": [str(number)] * 5} for number in range(300)])
"""JSON with many objects, which make the garbage collector run."""
LONGEST_SECONDS = 5.0
"""Seconds after which an exception counts as lost."""
TIMERS_A_STREAM = 4


class Limit(Exception):
    """Raised by a time limit of the application."""


class Reader:
    """Reads the first event of an answer. It refers to itself, so only the garbage collector frees it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._myself = self
        next(iter(stream))


raised = 0


def raise_limit(*_: object) -> None:
    global raised
    raised += 1
    raise Limit


def work(number: int) -> None:
    """Work until the limit is raised, or until it counts as lost."""
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.004))
    end = time.monotonic() + LONGEST_SECONDS
    while raised <= number and time.monotonic() < end:
        json.loads(PAYLOAD)


def main(base_url: str, timers: int) -> None:
    setup_telemetry()
    signal.signal(signal.SIGALRM, raise_limit)
    lost = calls = 0
    with OpenAI(base_url=base_url, api_key="any") as client, telemetry.run("analysis", user_id=7):
        for number in range(timers):
            if number % TIMERS_A_STREAM == 0:
                Reader(ask(client))
                calls += 1
            try:
                work(number)
                lost += 1
            except Limit:
                pass
        gc.collect()
    shutdown(20)
    print(lost, calls)


def ask(client: OpenAI) -> Any:
    return client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Rank"}], stream=True
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
