"""Calls that say in their prompt whose they are, so that the ledger can be held against the rollups.

The stand-in keeps the task of each call in its ledger: here it is the owner, a run and a stage.
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
NOBODY = "orphan"
"""The run of calls that belong to none."""
NO_STAGE = "unattributed"
LONG = "Be precise, and say where you found it. " * 120
"""Enough for the prompt cache."""
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")

Sums = dict[str, Counter[str]]
"""Calls, attempts and tokens by owner."""


@dataclass(frozen=True)
class Owner:
    """A run, known by its subject, and a stage of it."""

    run: str = NOBODY
    stage: str = NO_STAGE

    def __str__(self) -> str:
        return f"{self.run}__{self.stage}"


def body(owner: Owner) -> dict[str, Any]:
    """The body of a chat request that is the owner's."""
    system = {
        "role": "system",
        "content": f"Task: {owner}\n" + "Be precise, and say where you found it. " * 120,
    }
    return {"model": MODEL, "messages": [system, {"role": "user", "content": f"A word for {owner}"}]}


def ask(client: OpenAI, run: str = NOBODY, stage: str = NO_STAGE) -> None:
    """Make one call."""
    client.chat.completions.create(**body(Owner(run, stage)))


async def ask_async(client: AsyncOpenAI, run: str = NOBODY, stage: str = NO_STAGE) -> None:
    """Make one call in an event loop."""
    await client.chat.completions.create(**body(Owner(run, stage)))


def stream(client: OpenAI, run: str = NOBODY, stage: str = NO_STAGE) -> Any:
    """Begin a call whose answer is still to be read."""
    return client.chat.completions.create(
        **body(Owner(run, stage)), stream=True, stream_options={"include_usage": True}
    )


async def stream_async(client: AsyncOpenAI, run: str = NOBODY, stage: str = NO_STAGE) -> Any:
    """Begin a call in an event loop whose answer is still to be read."""
    return await client.chat.completions.create(
        **body(Owner(run, stage)), stream=True, stream_options={"include_usage": True}
    )


def assert_all_have_their_own(recorded: Recorded, ledger: StandIn) -> list[Rollup]:
    """Hold what was recorded against the ledger, owner by owner; return the runs."""
    runs = recorded.runs()
    assert recorded_sums(runs) == billed_sums(ledger)
    assert all(run.cost_complete for run in runs)
    return runs


def recorded_sums(runs: Iterable[Rollup]) -> Sums:
    """What the rollups hold."""
    sums: Sums = {}
    for run in runs:
        for key, usage in run.usage.items():
            if key.operation:
                found = sums.setdefault(str(Owner(run.root.subject or run.root.kind, key.stage)), Counter())
                found["calls"] += usage.calls
                found["attempts"] += usage.attempts
                found.update({name: getattr(usage, name) for name in TOKENS})
    return sums


def billed_sums(ledger: StandIn) -> Sums:
    """What the stand-in billed; nothing is tried twice here, so that each attempt is a call."""
    sums: Sums = {}
    for line in ledger.ledger()["attempts"]:
        found = sums.setdefault(line["task"], Counter())
        found.update(calls=1, attempts=1, **{name: line["usage"][name] for name in TOKENS})
    return sums
