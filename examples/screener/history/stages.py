"""The calls of a job by stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Final

from telemetry.conventions import Stage

from .pace import Pace
from .prices import bill
from .rows import CALL_ERRORS, RATE_LIMIT, Row, run_id

MODEL: Final = "gpt-4o-mini"
ATTEMPTS: Final = 3
"""Attempts of a call that fails for good."""
_SUMS: Final = (
    *("attempts", "rate_limit_hits", "rate_limit_retries", "other_retries", "backoff_us"),
    *("input_tokens", "cached_tokens", "output_tokens", "cost_pico", "usage_missing"),
)


class Stages:
    """Makes the rows of stages.

    The first source of chance decides how many calls there are and what they meet, the second the details.
    """

    def __init__(self, chance: Random, details: Random, pace: Pace) -> None:
        self._random, self._details, self._pace = chance, details, pace

    def rows(self, number: int, done: int, criteria: int, is_troubled: bool) -> list[Row]:
        """Return the answered calls of both stages."""
        found = [(Stage.RANKING, done * criteria, 900, 120), (Stage.INSIGHTS, min(done, 5), 2600, 450)]
        return [self._row(number, *stage, is_troubled) for stage in found if stage[1]]

    def lose(self, stages: list[Row], number: int, criteria: int, errors: Sequence[str]) -> None:
        """Add the calls for documents that failed: of each, a call fails, or its answer is of no use."""
        if not errors:
            return
        if not stages:
            stages.append(empty(number, Stage.RANKING))
        ranking, calls = stages[0], len(errors) * criteria
        failed = sum(error in CALL_ERRORS for error in errors)
        limited = errors.count(RATE_LIMIT)
        again = ATTEMPTS - 1
        more = {
            "calls": calls,
            "attempts": calls + failed * again,
            "errors": failed,
            "rate_limit_hits": limited * ATTEMPTS,
            "rate_limit_retries": limited * again,
            "other_retries": (failed - limited) * again,
            "backoff_us": self._waits(failed * again),
            "duration_us": calls * self._details.randint(600_000, 2_400_000),
            "input_tokens": (calls - failed) * self._details.randint(450, 900),
            "output_tokens": (calls - failed) * self._details.randint(95, 150),
        }
        for name, value in more.items():
            ranking[name] += value

    def close(self, stages: Iterable[Row], at: datetime, *, has_usage: bool) -> None:
        """Read a part of the input from the prompt cache, and add what it all costs."""
        for stage in stages:
            if has_usage:
                stage["cached_tokens"] = int(stage["input_tokens"] * self._details.uniform(0, 0.5))
            else:
                stage["usage_missing"] = stage["calls"] - stage["errors"]
                stage["input_tokens"] = stage["output_tokens"] = 0
            bill(stage, at)

    def _row(self, number: int, stage: str, calls: int, asked: int, answered: int, is_troubled: bool) -> Row:
        """Return answered calls; with the most input tokens of one, and the usual output tokens."""
        share = 0.2 if is_troubled else self._pace.limited
        limited = sum(self._random.random() < share for _ in range(min(calls, 40)))
        return {
            **empty(number, stage),
            "calls": calls,
            "attempts": calls + limited,
            "rate_limit_hits": limited,
            "rate_limit_retries": limited,
            "backoff_us": self._waits(limited),
            "input_tokens": calls * self._random.randint(asked // 2, asked),
            "output_tokens": int(calls * answered * self._details.uniform(0.8, 1.25)),
            "duration_us": calls * self._random.randint(600_000, 2_400_000),
        }

    def _waits(self, retries: int) -> int:
        return int(retries * self._details.uniform(500_000, 1_500_000))


def empty(number: int, stage: str) -> Row:
    """Return a stage without calls."""
    zero = ("calls", *_SUMS, "errors", "duration_us", "saved_pico", "output_pico")
    return {
        "run_id": run_id(number),
        "stage": stage,
        "operation": "chat",
        "model": MODEL,
        "service_tier": "default",
        "price_version": "",
        "price_source": "",
        **dict.fromkeys(zero, 0),
        "opened_us": None,
        "closed_us": None,
    }


def sums(stages: Sequence[Row]) -> Row:
    """Return what the run says of the calls of its stages."""
    return {
        "api_calls": sum(stage["calls"] for stage in stages),
        **{name: sum(stage[name] for stage in stages) for name in _SUMS},
    }


def times(stages: list[Row], seconds: float) -> Iterator[Row]:
    """Yield the rows of the stages' own times, one stage after the other."""
    begin, whole = 0.03, sum(stage["calls"] for stage in stages)
    for stage in stages:
        end = begin + 0.95 * stage["calls"] / whole
        opened, closed = int(begin * seconds * 1e6), int(end * seconds * 1e6)
        names = ("operation", "model", "service_tier", "price_version", "price_source")
        row = {name: 0 if isinstance(value, int) else value for name, value in stage.items()}
        yield (
            row
            | dict.fromkeys(names, "")
            | {
                "duration_us": closed - opened,
                "opened_us": opened,
                "closed_us": closed,
            }
        )
        begin = end
