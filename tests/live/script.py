"""A script of the host, beside web and worker: ``python -m tests.live.script`` does what its input says.

Each line is a command with its arguments; the answer is a line ``done``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from openai import OpenAI, OpenAIError
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

import telemetry
from examples.screener.app import create_app

KIND: Final = "script"
_client: OpenAI
_open: list[telemetry.RunHandle] = []


def jobs(number: str, candidates: str = "1") -> None:
    """Do so many jobs, which succeed."""
    for _ in range(int(number)):
        with telemetry.run("analysis", candidates=int(candidates)):
            pass


def call(model: str, number: str = "1") -> None:
    """Call a model so many times within a run; calls may fail."""
    with telemetry.run(KIND):
        orphan(model, number)


def orphan(model: str, number: str = "1") -> None:
    """Call a model so many times outside of any run."""
    for _ in range(int(number)):
        with suppress(OpenAIError):
            _client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Say hello."}])


def begin(documents: str = "0") -> None:
    """Begin a run, which stays under way, with so many documents."""
    _open.append(telemetry.start_run("analysis", candidates=int(documents)))
    for number in range(int(documents)):
        with telemetry.document(f"{number}.txt", size=1000):
            pass


def end() -> None:
    """End all runs that are under way."""
    while _open:
        _open.pop().finish()


def export() -> None:
    """Export all metrics now."""
    provider = metrics.get_meter_provider()
    assert isinstance(provider, MeterProvider)
    provider.force_flush()


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    each.__name__: each for each in (jobs, call, orphan, begin, end, export)
}


def main() -> None:
    global _client
    app = create_app()
    _client = OpenAI(max_retries=0)
    with app.app_context():
        for line in sys.stdin:
            name, *arguments = line.split()
            COMMANDS[name](*arguments)
            print("done", flush=True)


if __name__ == "__main__":
    main()
