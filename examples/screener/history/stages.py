"""The calls of a job by stage."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from .pace import Pace
from .rows import Row, run_id

PICO_AN_INPUT_TOKEN: Final = 150_000
PICO_AN_OUTPUT_TOKEN: Final = 600_000


class Stages:
    """Makes the rows of stages."""

    def __init__(self, chance: Random, of_documents: Random, pace: Pace) -> None:
        self._random, self._of_documents, self._pace = chance, of_documents, pace

    def rows(self, number: int, done: int, criteria: int, is_troubled: bool) -> list[Row]:
        """Return the calls of both stages."""
        found = [("ranking", done * criteria, 900, 120), ("insights", min(done, 5), 2600, 450)]
        return [self.row(number, *stage, is_troubled) for stage in found if stage[1]]

    def use_cache(self, stages: list[Row]) -> None:
        """Read a part of the input from the prompt cache, at half its price."""
        for stage in stages:
            stage["cached_tokens"] = int(stage["input_tokens"] * self._of_documents.uniform(0, 0.5))
            stage["saved_pico"] = stage["cached_tokens"] * PICO_AN_INPUT_TOKEN // 2
            stage["cost_pico"] -= stage["saved_pico"]

    def row(self, number: int, stage: str, calls: int, asked: int, answered: int, is_troubled: bool) -> Row:
        """Return the calls of a stage: their number, the most input tokens of one, the output tokens."""
        share = 0.2 if is_troubled else self._pace.limited
        limited = sum(self._random.random() < share for _ in range(min(calls, 40)))
        tokens = (calls * self._random.randint(asked // 2, asked), calls * answered)
        return {
            "run_id": run_id(number),
            "stage": stage,
            "operation": "chat",
            "model": "gpt-4o-mini",
            "service_tier": "default",
            "price_version": "1",
            "price_source": "genai-prices",
            "calls": calls,
            "attempts": calls + limited,
            "rate_limit_hits": limited,
            "rate_limit_retries": limited,
            "backoff_us": limited * 800_000,
            "duration_us": calls * self._random.randint(600_000, 2_400_000),
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "cached_tokens": 0,
            "cost_pico": tokens[0] * PICO_AN_INPUT_TOKEN + tokens[1] * PICO_AN_OUTPUT_TOKEN,
            "saved_pico": 0,
            "output_pico": tokens[1] * PICO_AN_OUTPUT_TOKEN,
            "opened_us": None,
            "closed_us": None,
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
