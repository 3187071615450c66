"""What calls have cost, by the stand-in's ledger, by SQL and by Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict

from tests.end_to_end.ledger import PICO, Line, Truth, truth
from tests.end_to_end.observed import Observed

SUMS = """
    SELECT SUM(calls) AS calls, SUM(attempts) AS attempts, SUM(rate_limit_hits) AS rate_limit_hits,
        SUM(rate_limit_retries) AS rate_limit_retries, SUM(other_retries) AS other_retries,
        SUM(errors) AS errors, SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens,
        SUM(cached_tokens) AS cached_tokens, SUM(reasoning_tokens) AS reasoning_tokens,
        SUM(cost_pico) AS cost_pico
    FROM telemetry_stage_usage WHERE operation <> ''
"""
COUNTERS = {
    "calls": ("analysis_openai_operations_total", {}),
    "attempts": ("analysis_openai_attempts_total", {}),
    "rate_limit_hits": ("analysis_openai_attempts_total", {"status": "429"}),
    "rate_limit_retries": ("analysis_openai_retries_total", {"reason": "rate_limit"}),
    "other_retries": ("analysis_openai_retries_total", {"reason": "other"}),
    "errors": ("analysis_openai_operations_total", {"outcome": "error"}),
    "input_tokens": ("analysis_openai_tokens_total", {"kind": "input"}),
    "output_tokens": ("analysis_openai_tokens_total", {"kind": "output"}),
    "cached_tokens": ("analysis_openai_tokens_total", {"kind": "cached"}),
    "reasoning_tokens": ("analysis_openai_tokens_total", {"kind": "reasoning"}),
    "cost_pico": ("analysis_openai_cost_usd_total", {}),
}
"""The counter of each figure, with labels."""


class Spent:
    """What was spent since it was created, while nothing was under way.

    Args:
        system: the observed system.
        lines: returns all lines of the ledger.
    """

    def __init__(self, system: Observed, lines: Callable[[], list[Line]]) -> None:
        self._system, self._lines = system, lines
        self._first = len(lines())
        self._sql, self._prometheus = self._all_in_sql(), self._all_in_prometheus()

    def lines(self) -> list[Line]:
        """Return the lines of the ledger."""
        return self._lines()[self._first :]

    def in_ledger(self, without: Collection[int] = ()) -> Truth:
        """Return the figures of the ledger, without the lines that have these numbers."""
        return truth(line for line in self.lines() if line["seq"] not in without)

    def in_sql(self) -> Truth:
        """Return the figures of SQL."""
        return _difference(self._all_in_sql(), self._sql)

    def in_prometheus(self) -> Truth:
        """Return the figures of Prometheus, over all processes."""
        return _difference(self._all_in_prometheus(), self._prometheus)

    def _all_in_sql(self) -> Truth:
        return Truth(**{name: int(value or 0) for name, value in self._system.stack.sql.row(SUMS).items()})

    def _all_in_prometheus(self) -> Truth:
        values = {
            name: self._system.counted(counter, **labels) for name, (counter, labels) in COUNTERS.items()
        }
        values["cost_pico"] *= PICO
        return Truth(**{name: round(value) for name, value in values.items()})


def _difference(later: Truth, earlier: Truth) -> Truth:
    before = asdict(earlier)
    return Truth(**{name: value - before[name] for name, value in asdict(later).items()})
