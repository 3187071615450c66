"""What may become of a call: what the service does to it, and what the application does with the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.matrix.kinds import Kind

WAIT_MS = 10
"""What the service asks to wait before the next attempt."""
PATIENCE = 1.6
"""Seconds after which the impatient client gives up an attempt."""
SLOWNESS_MS = 2400
"""How long the service makes the impatient wait."""
RETRIES = 1
"""How often the impatient client, and the one that finds nobody, try again."""

Client = Literal["usual", "impatient", "refused"]
Reading = Literal["all", "close", "drop", "keep", "cancel", "cancel later"]


def _any(_: Kind) -> bool:
    return True


def _streamed(kind: Kind) -> bool:
    return kind.is_streamed


def _opened(kind: Kind) -> bool:
    return kind.is_streamed or kind.is_managed


def _parses(kind: Kind) -> bool:
    return kind.parses


@dataclass(frozen=True)
class Outcome:
    """One thing that happens."""

    name: str
    short: str
    """Its heading in the table."""
    faults: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """Fault rules of the stand-in, for the calls of this outcome alone."""
    raises: frozenset[str] = frozenset()
    """Types of the exceptions of which the application gets one; empty: none."""
    client: Client = "usual"
    reading: Reading = "all"
    """What the application does with the answer once it has the beginning of it."""
    calls: int = 1
    refused: int = 0
    """Attempts that never reach the service."""
    happens_to: Callable[[Kind], bool] = _any
    only_async: bool = False
    bill: Literal["told", "not told", "none"] = "told"
    """Whether anything is billed, and whether the service tells the caller all of it."""

    @property
    def takes_long(self) -> bool:
        """Whether most of it is waiting."""
        return self.client != "usual" or self.reading in ("cancel", "cancel later")


def _limited(**when: int) -> dict[str, Any]:
    return {"status": 429, "retry_after_ms": WAIT_MS, **when}


_BROKEN_OFF = frozenset(
    {"RemoteProtocolError", "ReadError", "ReadTimeout", "APIConnectionError", "APITimeoutError"}
)
_SLOW = {"delay_ms": SLOWNESS_MS}
_STALLING = {"chunk_delay_ms": SLOWNESS_MS}

OUTCOMES = (
    Outcome("success", "200"),
    Outcome("the same prompt again", "200 200", calls=2),
    Outcome("429, then success", "429 200", (_limited(first_attempts=1),)),
    Outcome("429 to the end", "429", (_limited(),), frozenset({"RateLimitError"}), bill="none"),
    Outcome(
        "429, 500, then success",
        "429 500",
        (_limited(first_attempts=1), {**_limited(first_attempts=2), "status": 500}),
    ),
    Outcome("refused as wrong", "400", ({"status": 400},), frozenset({"BadRequestError"}), bill="none"),
    Outcome("timeout", "timeout", (_SLOW,), frozenset({"APITimeoutError"}), "impatient", bill="not told"),
    Outcome(
        "timeout, then success",
        "t/o 200",
        ({**_SLOW, "first_attempts": 1},),
        client="impatient",
        bill="not told",
    ),
    Outcome(
        "connection refused",
        "refused",
        raises=frozenset({"APIConnectionError"}),
        client="refused",
        refused=1 + RETRIES,
        bill="none",
    ),
    Outcome("usage left out", "no usage", ({"omit_usage": True},), bill="not told"),
    Outcome(
        "not the JSON asked for",
        "no JSON",
        ({"bad_json": True},),
        frozenset({"ValidationError"}),
        happens_to=_parses,
    ),
    Outcome("closed before its end", "closed", reading="close", happens_to=_opened, bill="not told"),
    Outcome("dropped before its end", "dropped", reading="drop", happens_to=_streamed, bill="not told"),
    Outcome("read after the run", "late", reading="keep", happens_to=_streamed),
    Outcome("cut off", "cut", ({"cut_stream_after": 2},), _BROKEN_OFF, happens_to=_streamed, bill="not told"),
    Outcome(
        "stalled", "stalled", (_STALLING,), _BROKEN_OFF, "impatient", happens_to=_streamed, bill="not told"
    ),
    Outcome(
        "cancelled",
        "cancel",
        (_SLOW,),
        frozenset({"CancelledError"}),
        reading="cancel",
        only_async=True,
        bill="not told",
    ),
    Outcome(
        "cancelled in mid-stream",
        "cancel…",
        (_STALLING,),
        frozenset({"CancelledError"}),
        reading="cancel later",
        happens_to=_streamed,
        only_async=True,
        bill="not told",
    ),
)


def is_known(kind: Kind, outcome: Outcome) -> bool:
    """Say whether the cost of such a call can be known to the last pico-dollar."""
    return outcome.bill == "none" or (outcome.bill == "told" and kind.tells_usage)


def fault_rules() -> Iterator[dict[str, Any]]:
    """Yield the rules of all outcomes, each for the calls that carry its mark."""
    for outcome in OUTCOMES:
        for fault in outcome.faults:
            yield {"match": {"contains": mark(outcome)}, **fault}


def mark(outcome: Outcome) -> str:
    """Return what a prompt says so that the service does this to it."""
    return f"[{outcome.name}]"
