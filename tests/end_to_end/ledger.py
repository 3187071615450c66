"""The independent truth: the stand-in's ledger, counted and priced from its lines alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby, pairwise
from typing import Any

from genai_prices import Usage, calc_price

Line = dict[str, Any]
Call = list[Line]
"""Its attempts, in their order."""

PICO = 10**12
ATTEMPTS_PER_CALL = 3
"""The client repeats an attempt that failed for a passing reason twice; after that it is a new call."""
PASSING = {408, 409, 429, *range(500, 600)}
"""Statuses after which the client tries again."""
STAGES = {"criteria": "criteria", "name": "naming", "rank": "ranking", "insights": "insights"}
"""The stage in which the screener does a task; embeddings have none of these tasks."""


@dataclass(frozen=True)
class Truth:
    """What a part of the ledger comes to."""

    calls: int = 0
    attempts: int = 0
    rate_limit_hits: int = 0
    rate_limit_retries: int = 0
    other_retries: int = 0
    errors: int = 0
    """Calls that never got an answer."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico: int = 0


def truth(lines: Iterable[Line]) -> Truth:
    """Count and price some lines of a ledger; an attempt missing among them would look like another call."""
    return _sum(_calls(lines))


def by_stage(lines: Iterable[Line]) -> dict[tuple[str, str, str], Truth]:
    """The same by stage, operation and model (as the answer names it; without one, as asked for)."""
    found: dict[tuple[str, str, str], list[Call]] = {}
    for call in _calls(lines):
        last = call[-1]
        model = last["response_model"] if last["usage"] else last["model"]
        key = (STAGES.get(last["task"], "embedding"), last["operation"], model)
        found.setdefault(key, []).append(call)
    return {key: _sum(calls) for key, calls in found.items()}


def price(line: Line) -> int:
    """What one line cost in pico-dollars: at its own time, with its cached tokens, rounded half-even."""
    assert line["service_tier"] in (None, "default"), "no tier but the standard one is priced here"
    usage = Usage(
        input_tokens=line["usage"]["input_tokens"],
        cache_read_tokens=line["usage"]["cached_tokens"],
        cache_write_tokens=line["usage"]["cache_write_tokens"],
        output_tokens=line["usage"]["output_tokens"],
    )
    cost = calc_price(
        usage,
        line["response_model"],
        provider_id="openai",
        genai_request_timestamp=datetime.fromtimestamp(line["time"], UTC),
    )
    return int((cost.total_price * PICO).to_integral_value(ROUND_HALF_EVEN))


def dollars(pico: int) -> Decimal:
    """Pico-dollars as dollars."""
    return Decimal(pico) / PICO


def _sum(calls: Iterable[Call]) -> Truth:
    calls = list(calls)
    lines = [line for call in calls for line in call]
    retries = [before["status"] for call in calls for before, _ in pairwise(call)]
    tokens: Counter[str] = Counter()
    for line in lines:
        tokens.update(line["usage"] or {})
    return Truth(
        calls=len(calls),
        attempts=len(lines),
        rate_limit_hits=sum(line["status"] == 429 for line in lines),
        rate_limit_retries=sum(status == 429 for status in retries),
        other_retries=sum(status != 429 for status in retries),
        errors=sum(call[-1]["status"] >= 400 for call in calls),
        input_tokens=tokens["input_tokens"],
        output_tokens=tokens["output_tokens"],
        cached_tokens=tokens["cached_tokens"],
        reasoning_tokens=tokens["reasoning_tokens"],
        cost_pico=sum(price(line) for line in lines if line["usage"]),
    )


def _calls(lines: Iterable[Line]) -> Iterator[Call]:
    """Part the attempts of each request into calls: one ends when the client stops trying."""
    ordered = sorted(lines, key=lambda line: (line["request_key"], line["seq"]))
    for _, same_request in groupby(ordered, key=lambda line: line["request_key"]):
        call: Call = []
        for line in same_request:
            call.append(line)
            if line["status"] not in PASSING or len(call) == ATTEMPTS_PER_CALL:
                yield call
                call = []
        if call:
            yield call
