"""A process of an application, which runs analyses and writes a journal.

Usage::

    python -m tests.soak.worker JOURNAL NUMBER …

The journal has a line before a run is opened, one when it is opened, and one when it is ended. With
``SOAK_HOLDS_GIL`` set, C code holds the interpreter's lock for :data:`HOLD_SECONDS` again and again.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from openai import OpenAI, OpenAIError

import telemetry

AT_ONCE = 3
"""Concurrent analyses, in threads."""
CANDIDATES = 2
USERS = 5
PAUSE = 0.03
"""Seconds between two calls, so that some processes are killed while no call is under way."""
FORKS = 12
"""In one of this many analyses a forked child makes a call, whose usage is lost with the child."""
HOLD_SECONDS = 0.2


def api_key(number: int) -> str:
    """Return the key by which the ledger identifies the calls of an analysis."""
    return f"soak-{number}"


def forks(number: int) -> bool:
    """Return whether an analysis has a call in a forked child."""
    return number % FORKS == 5


def user_of(number: int) -> int:
    """Return the user of an analysis."""
    return 1 + number % USERS


class Worker:
    """Runs analyses until they are done or the process is ended."""

    def __init__(self, journal: TextIO) -> None:
        self._journal = journal
        self._client = OpenAI(max_retries=4)
        self._blocked = self._plain = 0.0

    def work(self, numbers: Iterable[int]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._analyse, numbers))

    def _analyse(self, number: int) -> None:
        self._note(number, "opening")
        # The criteria identify a run whose process is killed before it writes the run's id into the journal.
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
                time.sleep(PAUSE)
            if forks(number):
                self._ask_in_child(number)
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

    def _ask_in_child(self, number: int) -> None:
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # it may hang, since its parent has threads
            self._ask(OpenAI(api_key=api_key(number), max_retries=4), number, CANDIDATES)
            os._exit(0)
        os.waitpid(child, 0)

    def _timed(self, act: Callable[[], Any]) -> Any:
        """Measure how long telemetry blocks the thread of the application."""
        started = time.monotonic()
        try:
            return act()
        finally:
            self._blocked = max(self._blocked, time.monotonic() - started)

    def _replace_a_file(self, number: int) -> None:
        """Measure how long the same thread takes to replace one file, which telemetry may take as well."""
        started = time.monotonic()
        temporary = Path(f"{self._journal.name}.{number}")
        temporary.write_text("x" * 2000)
        temporary.replace(f"{self._journal.name}.plain")
        self._plain = max(self._plain, time.monotonic() - started)

    def _note(self, number: int, event: str, **more: object) -> None:
        self._journal.write(json.dumps({"number": number, "event": event, "pid": os.getpid(), **more}) + "\n")
        self._journal.flush()


def hold_interpreter() -> None:
    """Hold the interpreter's lock, as C code does that does not release it."""
    sleep = ctypes.PyDLL(None).usleep
    while True:
        sleep(round(HOLD_SECONDS * 1e6))
        time.sleep(HOLD_SECONDS * 4)


def main() -> None:
    path, numbers = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    telemetry.setup_telemetry()
    if "SOAK_HOLDS_GIL" in os.environ:
        threading.Thread(target=hold_interpreter, daemon=True).start()
    with path.open("a") as journal:
        Worker(journal).work(numbers)


if __name__ == "__main__":
    main()
