"""The outcomes of calls: what the stand-in does, and what the application does with the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.matrix.kinds import Kind

WAIT_MS = 10
"""The Retry-After of the stand-in, in milliseconds."""
IMPATIENT_SECONDS = 1.6
"""Timeout of the impatient client, in seconds."""
SLOWNESS_MS = 2400
"""Delay of the stand-in that exceeds this timeout, in milliseconds."""
RETRIES = 1
"""Retries of the impatient client, and of the one whose connections are refused."""

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
    """One outcome of a call."""

    name: str
    short: str
    """Heading of its column in the table."""
    faults: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """Fault rules of the stand-in, for the calls of this outcome only."""
    raises: frozenset[str] = frozenset()
    """Types of exceptions, one of which the application gets; empty if it gets none."""
    client: Client = "usual"
    reading: Reading = "all"
    """How the application reads the answer."""
    calls: int = 1
    refused: int = 0
    """Attempts that never reach the service."""
    happens_to: Callable[[Kind], bool] = _any
    only_async: bool = False
    bill: Literal["reported", "not reported", "none"] = "reported"
    """Whether anything is billed, and whether all of that is reported to the caller."""

    @property
    def takes_long(self) -> bool:
        """Whether such a call consists mostly of waiting."""
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
    Outcome("refused as invalid", "400", ({"status": 400},), frozenset({"BadRequestError"}), bill="none"),
    Outcome("timeout", "timeout", (_SLOW,), frozenset({"APITimeoutError"}), "impatient", bill="not reported"),
    Outcome(
        "timeout, then success",
        "t/o 200",
        ({**_SLOW, "first_attempts": 1},),
        client="impatient",
        bill="not reported",
    ),
    Outcome(
        "connection refused",
        "refused",
        raises=frozenset({"APIConnectionError"}),
        client="refused",
        refused=1 + RETRIES,
        bill="none",
    ),
    Outcome("usage left out", "no usage", ({"omit_usage": True},), bill="not reported"),
    Outcome(
        "not the JSON asked for",
        "no JSON",
        ({"bad_json": True},),
        frozenset({"ValidationError"}),
        happens_to=_parses,
    ),
    Outcome("closed before its end", "closed", reading="close", happens_to=_opened, bill="not reported"),
    Outcome("dropped before its end", "dropped", reading="drop", happens_to=_streamed, bill="not reported"),
    Outcome("read after the run", "late", reading="keep", happens_to=_streamed),
    Outcome(
        "cut off", "cut", ({"cut_stream_after": 2},), _BROKEN_OFF, happens_to=_streamed, bill="not reported"
    ),
    Outcome(
        "stalled",
        "stalled",
        (_STALLING,),
        _BROKEN_OFF,
        "impatient",
        happens_to=_streamed,
        bill="not reported",
    ),
    Outcome(
        "cancelled",
        "cancel",
        (_SLOW,),
        frozenset({"CancelledError"}),
        reading="cancel",
        only_async=True,
        bill="not reported",
    ),
    Outcome(
        "cancelled in mid-stream",
        "cancel…",
        (_STALLING,),
        frozenset({"CancelledError"}),
        reading="cancel later",
        happens_to=_streamed,
        only_async=True,
        bill="not reported",
    ),
)


def is_known(kind: Kind, outcome: Outcome) -> bool:
    """Return whether the cost of such a call can be known exactly."""
    return outcome.bill == "none" or (outcome.bill == "reported" and kind.reports_usage)


def fault_rules() -> Iterator[dict[str, Any]]:
    """Yield the fault rules of all outcomes, which apply to prompts with the mark of the outcome."""
    for outcome in OUTCOMES:
        for fault in outcome.faults:
            yield {"match": {"contains": mark(outcome)}, **fault}


def mark(outcome: Outcome) -> str:
    """Return the text in a prompt by which the fault rules of an outcome match."""
    return f"[{outcome.name}]"
