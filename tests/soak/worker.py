"""A process of an application under fire: analyses one number after another, and keeps a journal of it.

Usage::

    python -m tests.soak.worker JOURNAL NUMBER …

The journal is what the application itself knows: a line when a run is about to be opened, one when it was
opened, and one when its end was said.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from openai import OpenAI, OpenAIError

import telemetry

AT_ONCE = 3
"""Analyses under way at the same time, in threads."""
CANDIDATES = 2
USERS = 5


def api_key(number: int) -> str:
    """The key by which the service knows the calls of an analysis."""
    return f"soak-{number}"


def user_of(number: int) -> int:
    """Whose analysis it is."""
    return 1 + number % USERS


class Worker:
    """Works on analyses until they are done or somebody ends it."""

    def __init__(self, journal: TextIO) -> None:
        self._journal = journal
        self._client = OpenAI(max_retries=4)
        self._blocked = self._plain = 0.0

    def work(self, numbers: Iterable[int]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._analyse, numbers))

    def _analyse(self, number: int) -> None:
        self._note(number, "opening")
        # By its criteria a run is known whose process was ended before it could note the run's id.
        run = self._timed(
            lambda: telemetry.start_run(
                "analysis", user_id=user_of(number), candidates=CANDIDATES, criteria=number
            )
        )
        self._note(number, "opened", run_id=run.run_id)
        self._timed(lambda: run.link(number))
        client = self._client.with_options(api_key=api_key(number))
        with telemetry.stage("ranking"):
            for candidate in range(CANDIDATES):
                with telemetry.document(f"cv-{candidate}.pdf", size=100 + candidate) as document:
                    self._ask(client, number, candidate)
                    document.score(0.5)
        self._timed(run.finish)
        self._replace_a_file(number)
        took = {"blocked_ms": round(self._blocked * 1000, 1), "plain_ms": round(self._plain * 1000, 1)}
        self._note(number, "ended", run_id=run.run_id, **took)

    def _ask(self, client: OpenAI, number: int, candidate: int) -> None:
        text = f"Analysis {number}, candidate {candidate}"
        try:
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])
        except OpenAIError:
            telemetry.count("fallbacks")

    def _timed(self, act: Callable[[], Any]) -> Any:
        """Measure how long telemetry holds up the thread of the application."""
        started = time.monotonic()
        try:
            return act()
        finally:
            self._blocked = max(self._blocked, time.monotonic() - started)

    def _replace_a_file(self, number: int) -> None:
        """Measure how long the same thread needs for what telemetry may hold it up for: one file."""
        started = time.monotonic()
        temporary = Path(f"{self._journal.name}.{number}")
        temporary.write_text("x" * 2000)
        temporary.replace(f"{self._journal.name}.plain")
        self._plain = max(self._plain, time.monotonic() - started)

    def _note(self, number: int, event: str, **more: object) -> None:
        self._journal.write(json.dumps({"number": number, "event": event, "pid": os.getpid(), **more}) + "\n")
        self._journal.flush()


def main() -> None:
    path, numbers = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    telemetry.setup_telemetry()
    with path.open("a") as journal:
        Worker(journal).work(numbers)


if __name__ == "__main__":
    main()
