"""The expected figures, computed from nothing but the lines of the stand-in's ledger."""

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
"""The attempts of a call, in order."""

PICO = 10**12
ATTEMPTS_PER_CALL = 3
"""The client retries a transient failure twice; a further attempt belongs to a new call."""
TRANSIENT = {408, 409, 429, *range(500, 600)}
"""Statuses after which the client retries."""
STAGES = {"criteria": "criteria", "name": "naming", "rank": "ranking", "insights": "insights"}
"""The stage of each of the screener's tasks; embeddings have no task."""


@dataclass(frozen=True)
class Truth:
    """The sums over a part of the ledger."""

    calls: int = 0
    attempts: int = 0
    rate_limit_hits: int = 0
    rate_limit_retries: int = 0
    other_retries: int = 0
    errors: int = 0
    """Calls that failed."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico: int = 0


def truth(lines: Iterable[Line]) -> Truth:
    """Count and price lines of a ledger, which must include all attempts of their calls."""
    return _sum(_calls(lines))


def by_stage(lines: Iterable[Line]) -> dict[tuple[str, str, str], Truth]:
    """Sum up by stage, operation and model: that of the answer, else that of the request."""
    calls_by_key: dict[tuple[str, str, str], list[Call]] = {}
    for call in _calls(lines):
        last = call[-1]
        model = last["response_model"] if last["usage"] else last["model"]
        key = (STAGES.get(last["task"], "embedding"), last["operation"], model)
        calls_by_key.setdefault(key, []).append(call)
    return {key: _sum(calls) for key, calls in calls_by_key.items()}


def price(line: Line) -> int:
    """Return the cost of a line in pico-dollars, at its own time, rounded half to even."""
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
    """Convert pico-dollars to dollars."""
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
    """Divide the attempts of each request into calls; a call ends when the client stops retrying."""
    ordered = sorted(lines, key=lambda line: (line["request_key"], line["seq"]))
    for _, same_request in groupby(ordered, key=lambda line: line["request_key"]):
        call: Call = []
        for line in same_request:
            call.append(line)
            if line["status"] not in TRANSIENT or len(call) == ATTEMPTS_PER_CALL:
                yield call
                call = []
        if call:
            yield call
