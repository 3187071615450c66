"""What pricing a call costs: ``python -m benchmarks.pricing``.

Before: `calc_price` of genai-prices at every call. After: the rates of model, tier and day are looked up
once, then cached. Both run in one process, in turns, with the same calls; their prices are compared, too.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN
from typing import Final

from genai_prices import Usage, calc_price

from telemetry.pricing.prices import PICO, Tokens, list_price

ROUNDS: Final = 40
TARGET: Final = 0.1
"""Pricing may cost a tenth of a look-up in the list at every call."""
AT: Final = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9

MODELS: Final = (
    ("gpt-4o-mini", "default"),
    ("gpt-4o-mini-2024-07-18", ""),
    ("gpt-5-mini", "flex"),
    ("gpt-5.4", "priority"),
    ("text-embedding-3-small", ""),
)
CALLS: Final = [
    (model, tier, Tokens(1000 + n, 0 if model.startswith("text") else 50 + n, n * 10 % 900), AT + n * 10**9)
    for model, tier in MODELS
    for n in range(100)
]


def before(model: str, tier: str, tokens: Tokens, at_ns: int) -> int:
    """Price a call by the list."""
    usage = Usage(
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
    )
    cost = calc_price(
        usage,
        model,
        provider_id="openai",
        genai_request_timestamp=datetime.fromtimestamp(at_ns / 1e9, UTC),
        price_context={"service_tier": tier} if tier in ("flex", "priority") else None,
    )
    return int((cost.total_price * PICO).to_integral_value(ROUND_HALF_EVEN))


def after(model: str, tier: str, tokens: Tokens, at_ns: int) -> int:
    """Price a call by the cached rates."""
    price = list_price("openai", model, tokens, at_ns, tier)
    assert price is not None
    return price.pico


def microseconds(price: Callable[[str, str, Tokens, int], int]) -> float:
    """Return the time of one call, averaged over a round."""
    started = time.process_time_ns()
    for call in CALLS:
        price(*call)
    return (time.process_time_ns() - started) / len(CALLS) / 1000


def main() -> None:
    """Compare the prices, measure, and print the figures."""
    assert [before(*call) for call in CALLS] == [after(*call) for call in CALLS]
    rounds = [(microseconds(before), microseconds(after)) for _ in range(ROUNDS)]
    ratio = statistics.median(new / old for old, new in rounds)
    print(f"before  {statistics.median(old for old, _ in rounds):7.2f} µs a call")
    print(f"after   {statistics.median(new for _, new in rounds):7.2f} µs a call")
    print(json.dumps({"name": "pricing", "ratio": round(ratio, 3), "target": TARGET, "met": ratio <= TARGET}))


if __name__ == "__main__":
    main()
