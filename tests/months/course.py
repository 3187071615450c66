"""The values of one series over time, and its samples as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from .scene import BEGIN, END, MINUTE

LONGEST: Final = 4 * MINUTE
"""An unchanged value is repeated so often: Prometheus looks back five minutes."""


@dataclass
class Course:
    """The changes of a value; it is absent before the first, and while it is None."""

    changes: dict[int, float | None] = field(default_factory=dict)
    """By second, in any order."""
    grows: bool = False
    """Whether the values are times since when: what is seen is the age."""

    def set(self, second: int, value: float | None) -> None:
        """Change it from a time on."""
        self.changes[second] = value

    def during(self, begin: int, end: int, value: float | None) -> None:
        """Let it have another value for a time, and then again what it would have."""
        after = self.value(end)
        for second in [one for one in self.changes if begin <= one <= end]:
            del self.changes[second]
        self.changes[begin] = value
        self.changes[end] = after

    def value(self, second: int) -> float | None:
        """Return the value at a time."""
        known = [one for one in self.changes if one <= second]
        return self.changes[max(known)] if known else None

    def marked(self, seconds: Iterable[int]) -> Course:
        """Return the same course, with samples each minute around certain times, too."""
        marks = {second: self.value(second) for second in seconds if second not in self.changes}
        return Course({**marks, **self.changes}, self.grows)

    def samples(self, phase: int, begin: int = BEGIN, end: int = END, every: int = LONGEST) -> Iterator[str]:
        """Yield values and times as text, as if they were taken each minute.

        Args:
            phase: the second of the minute in which they are taken.
            begin: from when on.
            end: until when.
            every: seconds until an unchanged value is taken again; a minute around changes.
        """
        times = sorted(self.changes)
        for start, stop in pairwise([*times, END]):
            value = self.changes[start]
            first = _next(max(start, begin), phase)
            last = min(stop, end)
            if value is None or first >= last:
                continue
            if self.grows:
                for second in range(first, last, MINUTE):
                    yield f" {second - value:.0f} {second}\n"
                continue
            text = f" {value:.10g} "
            for second in _thinned(first, last, every):
                yield f"{text}{second}\n"


def _thinned(first: int, last: int, every: int) -> Iterator[int]:
    """Yield the minutes of a period, all at its beginning and end, and fewer in between."""
    near = 20 * MINUTE
    if every == MINUTE or last - first < 3 * near:
        yield from range(first, last, MINUTE)
        return
    yield from range(first, first + near, MINUTE)
    middle = range(first + near, last - near, every)
    yield from middle
    yield from range(middle[-1] + MINUTE, last, MINUTE)


def _next(second: int, phase: int) -> int:
    """Return the first time of sampling that is not before a time."""
    return second + (phase - second) % MINUTE


def notation(name: str, labels: Mapping[str, str]) -> str:
    """Return a series as OpenMetrics writes it."""
    matched = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{matched}}}"
