"""The report of a repricing: what it changes, or would change, by model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Final

from telemetry.pricing.prices import to_dollars

_UNKNOWN: Final = "unknown"
_HEAD: Final = ("model", "calls", "old $", "new $", "difference $")


@dataclass(slots=True)
class Line:
    """Calls of one model, and their cost in pico-dollars."""

    calls: int = 0
    old: int = 0
    new: int = 0
    old_unpriced: int = 0
    """Calls that had no price, which the old sum does not include."""
    new_unpriced: int = 0
    """Calls that have no price now."""

    def __iadd__(self, other: Line) -> Line:
        for number in fields(self):
            setattr(self, number.name, getattr(self, number.name) + getattr(other, number.name))
        return self


@dataclass(slots=True)
class Report:
    """What was changed, or would be; sums are in pico-dollars."""

    applied: bool
    runs: int = 0
    """Number of runs in the period."""
    changed: list[tuple[str, int | None, int | None]] = field(default_factory=list)
    """Run, analysis and user of the runs that change."""
    models: dict[str, Line] = field(default_factory=dict)
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of calls that keep their price, by model and reason."""
    is_shown: bool = False
    """Whether the rows of the host were updated."""

    @property
    def analyses(self) -> list[int]:
        """Ids of the analyses of the runs that change."""
        return sorted({analysis for _, analysis, _ in self.changed if analysis is not None})

    @property
    def users(self) -> list[int]:
        """Ids of the users of the runs that change."""
        return sorted({user for _, _, user in self.changed if user is not None})

    def add(
        self, model: str, calls: int, old: int, new: int | None, reason: str, *, unpriced: int = 0
    ) -> None:
        """Add a stage row; if ``new`` is None it keeps the old price, for ``reason``."""
        line = self.models.setdefault(model, Line())
        kept = old if new is None else new
        line += Line(calls, old, kept, unpriced, unpriced if new is None else 0)
        if new is None:
            self.kept[model, reason] += calls

    def lines(self) -> Iterator[str]:
        """Yield the report as lines of text."""
        yield from self._table()
        for (model, reason), calls in sorted(self.kept.items()):
            yield f"{calls:,} calls of {model or 'an unnamed model'} keep their price: {reason}."
        yield f"{len(self.changed):,} of {self.runs:,} runs {'changed' if self.applied else 'would change'}."
        if not self.applied:
            yield "Nothing was written; --apply writes."
        elif self.changed and not self.is_shown:
            yield "The application's own rows follow when one of its processes next looks for them."

    def to_json(self) -> str:
        """Return the report as one JSON object; calls without a price are in no sum."""
        return json.dumps(
            {
                "applied": self.applied,
                "runs": self.runs,
                "changed": len(self.changed),
                "is_shown": self.is_shown,
                "models": [_named(model, line) for model, line in sorted(self.models.items())],
                "kept": [
                    {"model": model, "reason": reason, "calls": calls}
                    for (model, reason), calls in sorted(self.kept.items())
                ],
            },
            ensure_ascii=False,
        )

    def _table(self) -> Iterator[str]:
        total = Line()
        for line in self.models.values():
            total += line
        named = [*sorted(self.models.items()), ("total", total)]
        # Six decimals are easier to read; if they would hide something, show all twelve.
        places = 12 if any(value % 10**6 for _, line in named for value in (line.old, line.new)) else 6
        cells = [_HEAD, *(_cells(name, line, places) for name, line in named)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            yield "  ".join([row[0].ljust(len(first)), *rest])


def _named(model: str, line: Line) -> dict[str, object]:
    return {
        "model": model,
        "calls": line.calls,
        "old_pico": line.old,
        "new_pico": line.new,
        "old_unpriced": line.old_unpriced,
        "new_unpriced": line.new_unpriced,
    }


def _cells(name: str, line: Line, places: int) -> tuple[str, ...]:
    """Return the cells of a row; a sum of calls without a price is unknown, not zero."""
    sums = ((line.old, line.old_unpriced), (line.new, line.new_unpriced))
    old, new = (_UNKNOWN if missing and not value else _amount(value, places) for value, missing in sums)
    difference = _UNKNOWN if _UNKNOWN in (old, new) else f"{to_dollars(line.new - line.old):+,.{places}f}"
    return name or "–", f"{line.calls:,}", old, new, difference


def _amount(pico: int, places: int) -> str:
    return f"{to_dollars(pico):,.{places}f}"
