"""Calls whose prompt names their owner, so that rollups can be compared with the ledger.

The stand-in records the task of each call in its ledger; here the task is the owner, a run and a stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI, OpenAI

from examples.screener.standin.client import StandIn
from exporters.rollup.merge import Rollup
from tests.telemetry.recordings import Recorded

MODEL = "gpt-5-mini"
"""A model that reasons and caches prompts, so that every kind of token occurs."""
ORPHAN = "orphan"
"""The run of calls that belong to no other run."""
NO_STAGE = "unattributed"
LONG = "Be precise, and say where you found it. " * 120
"""A text that is long enough for the prompt cache."""
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

Sums = dict[str, Counter[str]]
"""Calls, attempts and tokens by owner."""


@dataclass(frozen=True)
class Owner:
    """A run, identified by its subject, and one of its stages."""

    run: str = ORPHAN
    stage: str = NO_STAGE

    def __str__(self) -> str:
        return f"{self.run}__{self.stage}"


def body(owner: Owner) -> dict[str, Any]:
    """Return the body of a chat request that names its owner."""
    system = {"role": "system", "content": f"Task: {owner}\n{LONG}"}
    return {"model": MODEL, "messages": [system, {"role": "user", "content": f"A word for {owner}"}]}


def ask(client: OpenAI, run: str = ORPHAN, stage: str = NO_STAGE) -> None:
    """Make one call."""
    client.chat.completions.create(**body(Owner(run, stage)))


async def ask_async(client: AsyncOpenAI, run: str = ORPHAN, stage: str = NO_STAGE) -> None:
    """Make one call in an event loop."""
    await client.chat.completions.create(**body(Owner(run, stage)))


def stream(client: OpenAI, run: str = ORPHAN, stage: str = NO_STAGE) -> Any:
    """Begin a call, and return its unread stream."""
    return client.chat.completions.create(
        **body(Owner(run, stage)), stream=True, stream_options={"include_usage": True}
    )


async def stream_async(client: AsyncOpenAI, run: str = ORPHAN, stage: str = NO_STAGE) -> Any:
    """Begin a call in an event loop, and return its unread stream."""
    return await client.chat.completions.create(
        **body(Owner(run, stage)), stream=True, stream_options={"include_usage": True}
    )


def assert_calls_match_ledger(recorded: Recorded, ledger: StandIn) -> list[Rollup]:
    """Compare the recorded calls with the ledger, owner by owner, and return the runs."""
    runs = recorded.runs()
    assert recorded_sums(runs) == billed_sums(ledger)
    assert all(run.cost_complete for run in runs)
    return runs


def recorded_sums(runs: Iterable[Rollup]) -> Sums:
    """Sum up the rollups."""
    sums: Sums = {}
    for run in runs:
        for key, usage in run.usage.items():
            if key.operation:
                counts = sums.setdefault(str(Owner(run.root.subject or run.root.kind, key.stage)), Counter())
                counts["calls"] += usage.calls
                counts["attempts"] += usage.attempts
                counts.update({name: getattr(usage, name) for name in TOKENS})
    return sums


def billed_sums(ledger: StandIn) -> Sums:
    """Sum up what the stand-in billed. There are no retries here, so every attempt is a call."""
    sums: Sums = {}
    for line in ledger.ledger()["attempts"]:
        counts = sums.setdefault(line["task"], Counter())
        counts.update(calls=1, attempts=1, **{name: line["usage"][name] for name in TOKENS})
    return sums
