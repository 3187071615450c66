"""Compare the row of a cell's run with the lines of the stand-in's ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN
from typing import Any

from genai_prices import Usage, calc_price

from tests.matrix.cells import Cell
from tests.matrix.outcomes import WAIT_MS, is_known

Line = Mapping[str, Any]
Row = Mapping[str, Any]

PICO = 10**12
COUNTS = ("api_calls", "attempts", "rate_limit_hits", "rate_limit_retries", "other_retries")
BILLED = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_pico",
)


@dataclass(frozen=True)
class Verdict:
    """The judgement of one cell."""

    complaints: tuple[str, ...] = ()
    """The differences; empty if the cell is accounted correctly."""
    is_exact: bool = False
    """Whether the cost is exact to the pico-dollar, rather than marked as incomplete."""
    absent: str = ""
    """Why this version has no such call."""
    row: Row = field(default_factory=dict)
    """The row in ``telemetry_runs``."""


def judge(cell: Cell, tried: Line, row: Row | None, ledger: Sequence[Line]) -> Verdict:
    """Judge a cell by its row and its lines in the ledger."""
    if "absent" in tried:
        return Verdict(absent=tried["absent"])
    if row is None:
        return Verdict(("no row of its run",))
    counted = (
        *_counts(cell, row, ledger),
        *_waits(row, ledger),
        *_bill(cell, row, ledger),
        *_knowledge(cell, row),
    )
    complaints = (*_happened(cell, tried), *counted)
    return Verdict(complaints, bool(row["cost_complete"]), row=row)


def _happened(cell: Cell, tried: Line) -> Iterator[str]:
    """Check that the application got the expected exception, or none."""
    expected = sorted(cell.outcome.raises)
    if tried["raised"] not in (expected or [""]):
        yield f"raised {tried['raised'] or 'nothing'} instead of {' or '.join(expected) or 'nothing'}"


def _counts(cell: Cell, row: Row, ledger: Sequence[Line]) -> Iterator[str]:
    if cell.outcome.calls == row["unfinished"]:
        expected = dict.fromkeys(COUNTS, 0)  # an unfinished call counts nothing
    else:
        expected = _expected_counts(cell, [str(line["status"]) for line in ledger])
    for name in COUNTS:
        if row[name] != expected[name]:
            yield f"{name} {row[name]} instead of {expected[name]}"


def _expected_counts(cell: Cell, answered: Sequence[str]) -> dict[str, int]:
    attempts = [*answered, *["refused"] * cell.outcome.refused]
    # A repeated prompt is the same request to the ledger; no other outcome makes more than one call.
    retried = attempts[:-1] if cell.outcome.calls == 1 else []
    return {
        "api_calls": cell.outcome.calls,
        "attempts": len(attempts),
        "rate_limit_hits": attempts.count("429"),
        "rate_limit_retries": retried.count("429"),
        "other_retries": len(retried) - retried.count("429"),
    }


def _waits(row: Row, ledger: Sequence[Line]) -> Iterator[str]:
    """Check Retry-After, and that the client waits at least that long before every retry."""
    requested = max((line["retry_after_ms"] or 0 for line in ledger), default=0)
    if row["retry_after_us"] != round(requested * 1000):
        yield f"retry-after {row['retry_after_us']} µs instead of {requested} ms"
    least = (row["rate_limit_retries"] + row["other_retries"]) * WAIT_MS * 1000
    if row["backoff_us"] < least or (row["backoff_us"] and not least):
        yield f"backoff {row['backoff_us']} µs, at least {least} expected"


def _bill(cell: Cell, row: Row, ledger: Sequence[Line]) -> Iterator[str]:
    """Check that nothing exceeds the bill, and that a row below the bill is marked as incomplete."""
    expected = bill(ledger)
    for name in BILLED:
        if row[name] > expected[name]:
            yield f"{name} {row[name]}, more than the {expected[name]} billed"
    missing = [name for name in BILLED if row[name] < expected[name]]
    reasons = [name for name in ("usage_missing", "unfinished", "unpriced") if row[name]]
    if missing and not reasons:
        yield f"counted as complete, but {_difference(row, expected, missing)}"
    if reasons and not missing:
        yield f"counted as {', '.join(reasons)}, but nothing that was billed is missing"
    if bool(row["cost_complete"]) is bool(reasons):
        yield f"cost_complete {row['cost_complete']} with {', '.join(reasons) or 'no reason'}"
    if row["unpriced"] and cell.kind.is_billed_in_tokens:
        yield f"{row['unpriced']} unpriced"


def _knowledge(cell: Cell, row: Row) -> Iterator[str]:
    """Check that a cost that can be known is not marked as incomplete."""
    if is_known(cell.kind, cell.outcome) and not row["cost_complete"]:
        yield "counted as unknown, though it can be known"


def _difference(row: Row, expected: Mapping[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {row[name]} of {expected[name]}" for name in names)


def bill(ledger: Iterable[Line]) -> dict[str, int]:
    """Sum up the bill of lines of the ledger."""
    billed = dict.fromkeys(BILLED, 0)
    for line in ledger:
        if line["usage"]:
            for name in BILLED[:-1]:
                billed[name] += line["usage"][name]
            billed["cost_pico"] += _price(line)
    return billed


def _price(line: Line) -> int:
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
        provider_id="azure" if line["path"].startswith("/openai/") else "openai",
        genai_request_timestamp=datetime.fromtimestamp(line["time"], UTC),
    )
    return int((cost.total_price * PICO).to_integral_value(ROUND_HALF_EVEN))
