"""The figures of the stand-in's ledger, counted and priced from its lines only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import groupby
from typing import Any

from genai_prices import Usage, calc_price

from .figures import Figures

PICO_DOLLAR = Decimal("1e-12")
ATTEMPTS_PER_CALL = 3
"""The OpenAI client retries a failed attempt twice; a further attempt is a new call of the application."""

Attempt = dict[str, Any]


def ledger_figures(attempts: Sequence[Attempt]) -> Figures:
    """Sum up a ledger; every billed line is priced and rounded separately."""
    billed = [attempt for attempt in attempts if attempt["usage"]]
    return Figures(
        calls=count_calls(attempts),
        attempts=len(attempts),
        rate_limited=sum(attempt["status"] == 429 for attempt in attempts),
        input_tokens=_sum(billed, "input_tokens"),
        output_tokens=_sum(billed, "output_tokens"),
        cached_tokens=_sum(billed, "cached_tokens"),
        dollars=sum((price(attempt) for attempt in billed), Decimal(0)),
    )


def count_calls(attempts: Sequence[Attempt]) -> int:
    """Count logical calls, which end with their answer or when the client gives up."""
    ordered = sorted(attempts, key=lambda attempt: (attempt["request_key"], attempt["seq"]))
    same = groupby(ordered, key=lambda attempt: attempt["request_key"])
    return sum(_calls_of_one_request([attempt["status"] for attempt in group]) for _, group in same)


def price(attempt: Attempt) -> Decimal:
    """Return the cost of one line in dollars, rounded to a pico-dollar."""
    usage = attempt["usage"]
    cost = calc_price(
        Usage(
            input_tokens=usage["input_tokens"],
            cache_read_tokens=usage["cached_tokens"],
            cache_write_tokens=usage["cache_write_tokens"],
            output_tokens=usage["output_tokens"],
        ),
        attempt["response_model"],
        provider_id="openai",
        genai_request_timestamp=datetime.fromtimestamp(attempt["time"], UTC),
    )
    return cost.total_price.quantize(PICO_DOLLAR, ROUND_HALF_EVEN)


def _calls_of_one_request(statuses: list[int]) -> int:
    calls, tried = 0, 0
    for status in statuses:
        tried += 1
        if status < 400 or tried == ATTEMPTS_PER_CALL:
            calls, tried = calls + 1, 0
    return calls + (tried > 0)


def _sum(attempts: Sequence[Attempt], name: str) -> int:
    return sum(attempt["usage"][name] for attempt in attempts)
