"""The ledger: every HTTP attempt and every billed token, but no text."""

from collections import Counter
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from .answer import Answer
from .calls import Call
from .errors import ApiError
from .faults import Fault
from .models import dated

TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
"""The fields of each attempt's usage that are summed."""
Totals = dict[str, dict[str, dict[str, int]]]


@dataclass(frozen=True)
class Attempt:
    """One line of the ledger."""

    seq: int
    """Position in the ledger, from 1."""
    time: float
    """When the attempt arrived, in seconds since the epoch."""
    path: str
    operation: str
    task: str
    model: str
    """The requested model."""
    response_model: str
    """The model that the answer names."""
    service_tier_asked: str | None
    """The requested tier; None if the request names none."""
    service_tier: str | None
    """The billed tier; None for operations without tiers and for errors."""
    status: int
    attempt: int
    """Number of this attempt among those with the same request key."""
    stream: bool
    request_key: str
    """Hash of path and body: the same for all attempts of a logical call."""
    usage: dict[str, int] | None
    """Billed tokens, also when the answer leaves them out or nobody reads it to its end; None for errors and
    for what is free of charge."""
    usage_reported: bool
    """Whether the answer has its billed usage."""
    cut: bool
    """Whether a fault rule cut the stream off before its end."""
    delay_ms: float
    retry_after_ms: float | None
    """The Retry-After of the answer, in milliseconds."""
    authorization: str
    """Hash of the caller's key."""


class Ledger:
    """An append-only record in memory; thread-safe, and exact under concurrency."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._attempts: list[Attempt] = []
        self._numbers: Counter[str] = Counter()

    def next_attempt(self, key: str) -> int:
        """Count an arriving attempt of a logical call and return its number, from 1."""
        with self._lock:
            self._numbers[key] += 1
            return self._numbers[key]

    def record(
        self, call: Call, attempt: int, started: float, fault: Fault, answer: Answer | ApiError
    ) -> None:
        """Append an attempt.

        Args:
            call: The attempt's call.
            attempt: Its number, from `next_attempt`.
            started: When it arrived, in seconds since the epoch.
            fault: Its fault.
            answer: Its answer.
        """
        ok = answer if isinstance(answer, Answer) else None
        with self._lock:
            line = Attempt(
                seq=len(self._attempts) + 1,
                time=started,
                path=call.path,
                operation=call.operation,
                task=call.task,
                model=call.model,
                response_model=(ok and ok.model) or dated(call.served_model),
                service_tier_asked=call.service_tier,
                service_tier=ok.service_tier if ok else None,
                status=answer.status,
                attempt=attempt,
                stream=call.stream,
                request_key=call.key,
                usage=ok.usage.as_dict() if ok and ok.usage else None,
                usage_reported=ok.usage_reported if ok else False,
                cut=ok.cut if ok else False,
                delay_ms=fault.delay_ms,
                retry_after_ms=None if ok else fault.wait_ms(),
                authorization=call.authorization,
            )
            self._attempts.append(line)

    def since(self, seq: int = 0) -> list[Attempt]:
        """Return the attempts after position ``seq``."""
        with self._lock:
            return self._attempts[seq:]

    def clear(self) -> None:
        """Remove all attempts, and start numbering at one."""
        with self._lock:
            self._attempts = []
            self._numbers.clear()


def as_json(attempts: list[Attempt]) -> dict[str, Any]:
    """Return attempts with their totals, ready for JSON."""
    return {"attempts": [asdict(each) for each in attempts], "totals": totals(attempts)}


def totals(attempts: list[Attempt]) -> Totals:
    """Sum up attempts by model and, within a model, by operation."""
    sums: Totals = {}
    for each in attempts:
        row = sums.setdefault(each.model, {}).setdefault(each.operation, _empty_row())
        row["attempts"] += 1
        row[_outcome(each.status)] += 1
        for name in TOKENS:
            row[name] += (each.usage or {}).get(name, 0)
    return sums


def _empty_row() -> dict[str, int]:
    return dict.fromkeys(("attempts", "ok", "status_429", "other_errors", *TOKENS), 0)


def _outcome(status: int) -> str:
    return "ok" if status < 400 else "status_429" if status == 429 else "other_errors"
