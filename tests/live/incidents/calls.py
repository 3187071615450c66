"""Incidents of calls to OpenAI: refused, not accounted for, or close to a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.live.incident import Incident, incident
from tests.live.system import System

SOON: dict[str, int] = {"retry_after_ms": 5}
"""A refusal that does not make a client wait."""


@contextmanager
def repeated(act: Callable[[], object], pause: float = 0.5) -> Iterator[None]:
    """Repeat something within the block."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(pause):
            act()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _refused(alert: str, code: str) -> Incident:
    @incident(
        alert,
        how=f"OpenAI answers the ratings of an analysis with 429 and the code `{code}`",
        cure="it answers again",
    )
    def refused(system: System) -> Iterator[None]:
        match = {"task": "rank", "contains": code}
        with system.faults({"match": match, "status": 429, "code": code, **SOON}):
            client, number = system.draft(code)
            client.start(number)
            yield

    return refused


quota = _refused("AnalysisQuotaUsedUp", "insufficient_quota")
spend_limit = _refused("AnalysisSpendLimitReached", "project_spend_limit_exceeded")


@incident(
    "AnalysisHeadroomNearlyGone",
    how="a script goes on calling a model whose answers are 429 with no request left",
    cure="it ends",
)
def headroom(system: System) -> Iterator[None]:
    model = "gpt-4o"
    with (
        system.faults({"match": {"model": model}, "status": 429, "retry_after_ms": 20}),
        system.script() as script,
    ):
        with repeated(lambda: script.do(f"call {model}")):
            yield


def _unaccounted(alert: str, how: str, command: str, *rules: dict[str, object]) -> Incident:
    @incident(alert, how=f"a script {how}", cure="it ends")
    def unaccounted(system: System) -> Iterator[None]:
        with system.faults(*rules), system.script() as script:
            script.do(command)
            yield

    return unaccounted


unpriced = _unaccounted("AnalysisCallsUnpriced", "calls a model that no price list has", "call house-model 3")
usage_missing = _unaccounted(
    "AnalysisUsageMissing",
    "calls a model whose answers leave out the usage",
    "call gpt-4.1-nano 3",
    {"match": {"model": "gpt-4.1-nano"}, "omit_usage": True},
)
orphaned = _unaccounted("AnalysisCallsOrphaned", "calls a model outside of any run", "orphan gpt-4.1-mini 3")
