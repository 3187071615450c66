"""Faults by configuration.

A plan is a JSON list of rules, or ``{"seed": 7, "rules": [...]}``. A rule says *which* calls (``match``),
*when* (``first_attempts``, ``first_total``, ``rate``; all that are given must hold, none means always) and
*what*::

    [
        {"match": {"task": "rank"}, "status": 429, "first_attempts": 1, "retry_after_ms": 20},
        {"match": {"path": "/embeddings"}, "delay_ms": 50},
        {"match": {"path": "/responses"}, "cut_stream_after": 3, "rate": 0.5},
        {"rate": 0.1, "status": 500},
    ]

Every rule that fires applies; where two set the same thing, the earlier one wins.
"""

import hashlib
import json
from collections import Counter
from threading import Lock
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .calls import Call
from .tiers import BilledTier


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """The calls that a rule applies to; an omitted condition matches everything."""

    path: str | None = None
    """The end of the path, such as ``/chat/completions``."""
    model: str | None = None
    """The requested model."""
    task: str | None = None
    """The word after ``Task:`` in the system message or instructions."""
    contains: str | tuple[str, ...] | None = None
    """A part of the sent text, or several parts that must all be in it."""

    def fits(self, call: Call) -> bool:
        """Return whether a call matches."""
        return (
            (self.path is None or call.path.endswith(self.path))
            and (self.model is None or call.model == self.model)
            and (self.task is None or call.task == self.task)
            and all(piece in call.text for piece in self._pieces())
        )

    def _pieces(self) -> tuple[str, ...]:
        return (self.contains,) if isinstance(self.contains, str) else self.contains or ()


class Rule(_Strict):
    """One fault: which calls, when, and what happens to them."""

    match: Match = Match()
    first_attempts: int | None = Field(None, ge=0)
    """Only the first N attempts of every logical call since the rule was set."""
    first_total: int | None = Field(None, ge=0)
    """Only the first N attempts that match the rest of the rule."""
    rate: float | None = Field(None, ge=0, le=1)
    """A share of the attempts, chosen by a hash of request, attempt number and seed."""
    status: int | None = Field(None, ge=400, le=599)
    """Answer with this error."""
    code: str | None = None
    """The code of the error, such as ``insufficient_quota`` of a 429, instead of the usual one."""
    retry_after: float | None = Field(None, ge=0)
    """Seconds in the ``retry-after`` header of the error."""
    retry_after_ms: float | None = Field(None, ge=0)
    """Milliseconds in the ``retry-after-ms`` header of the error."""
    delay_ms: float | None = Field(None, ge=0)
    """Wait before answering."""
    chunk_delay_ms: float | None = Field(None, ge=0)
    """Wait between two chunks of a stream."""
    cut_stream_after: int | None = Field(None, ge=0)
    """Close the connection after so many chunks of a stream, if it has as many. Everything is billed."""
    break_body: bool | None = None
    """Close the connection in the middle of a plain answer, after its 200; it is billed."""
    service_tier: BilledTier | None = None
    """Bill this tier instead of the requested one, as the service may do; for chat and responses."""
    omit_usage: bool | None = None
    """Leave the usage out of the answer; it is billed all the same."""
    bad_json: bool | None = None
    """Make the content of an answer something that is not JSON."""


class FaultPlan(_Strict):
    """The current rules, in order of precedence."""

    seed: int = 0
    """Changes which attempts a ``rate`` chooses."""
    rules: tuple[Rule, ...] = ()

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read a plan.

        Raises:
            ValueError: The text is no plan; the message is one line that names the field.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
        try:
            return cls.model_validate({"rules": data} if isinstance(data, list) else data)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "plan"
            raise ValueError(f"{field}: {first['msg']}") from None


class Fault(_Strict):
    """The effect on one attempt of all rules that apply."""

    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    retry_after_ms: float | None = None
    delay_ms: float = 0
    chunk_delay_ms: float = 0
    cut_stream_after: int | None = None
    break_body: bool = False
    service_tier: BilledTier | None = None
    omit_usage: bool = False
    bad_json: bool = False

    def retry_after_headers(self) -> dict[str, str]:
        """Return the headers that tell the client when to try again."""
        headers = {"retry-after": self.retry_after, "retry-after-ms": self.retry_after_ms}
        return {name: f"{value:g}" for name, value in headers.items() if value is not None}

    def wait_ms(self) -> float | None:
        """Return the wait in the headers, in milliseconds; None without such a header."""
        if self.retry_after_ms is not None:
            return self.retry_after_ms
        return None if self.retry_after is None else self.retry_after * 1000


class Faults:
    """Applies a plan to attempts, with the counts that its rules need; thread-safe."""

    def __init__(self, plan: FaultPlan) -> None:
        self._initial = plan
        self._lock = Lock()
        self._set(plan)

    @property
    def plan(self) -> FaultPlan:
        """The current plan."""
        return self._plan

    def replace(self, plan: FaultPlan) -> None:
        """Replace the plan; the counts of its rules start at zero."""
        with self._lock:
            self._set(plan)

    def reset(self) -> None:
        """Restore the plan of the start."""
        self.replace(self._initial)

    def restart(self) -> None:
        """Keep the plan, and reset the counts of its rules."""
        self.replace(self._plan)

    def for_attempt(self, call: Call, attempt: int) -> Fault:
        """Return the fault of an attempt."""
        fields: dict[str, Any] = {}
        with self._lock:
            for index, rule in enumerate(self._plan.rules):
                if rule.match.fits(call) and self._due(index, rule, call.key, attempt):
                    effects = rule.model_dump(include=set(Fault.model_fields), exclude_none=True)
                    fields = {**effects, **fields}
        return Fault(**fields)

    def _set(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._attempts: Counter[tuple[int, str]] = Counter()
        self._fired: Counter[int] = Counter()

    def _due(self, index: int, rule: Rule, key: str, attempt: int) -> bool:
        self._attempts[index, key] += 1
        if rule.first_attempts is not None and self._attempts[index, key] > rule.first_attempts:
            return False
        if rule.rate is not None and _draw(self._plan.seed, index, key, attempt) >= rule.rate:
            return False
        if rule.first_total is not None and self._fired[index] >= rule.first_total:
            return False
        self._fired[index] += 1
        return True


def _draw(seed: int, index: int, key: str, attempt: int) -> float:
    """Return a number in [0, 1) that depends on the arguments only."""
    digest = hashlib.sha256(f"{seed}/{index}/{key}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
