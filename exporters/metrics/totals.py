"""Totals of this process since it started (or was forked), which counters and gauges read.

Totals are integers, so sums are exact; they become floats only when a metric reader collects them. A label
with an open vocabulary is capped: values beyond the cap become ``other``.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from telemetry.conventions import OTHER, Metric

LABEL_CAP: Final = 50
"""Maximum number of values of one open label of one metric."""

Key = tuple[str, ...]
"""Label values of a metric, in the order in which it declares its labels."""


class Totals:
    """Sums by metric and label values. Safe from any thread."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._sums: defaultdict[str, Counter[Key]] = defaultdict(Counter)
        self._values: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """Values seen, by metric and label name."""

    def zero(self, metric: Metric, label_sets: Iterator[Key]) -> None:
        """Initialise ``metric`` with zero for ``label_sets`` (values in the metric's label order)."""
        with self._lock:
            sums = self._sums[metric.name]
            for labels in label_sets:
                for name, value in zip(metric.labels, labels, strict=True):
                    self._values[metric.name, name].add(value)
                sums[labels] += 0

    def add(self, metric: Metric, amount: int = 1, **labels: str) -> None:
        """Add ``amount`` under ``labels``; all labels that the metric declares are required."""
        self.add_all([(metric, amount, tuple([labels[name] for name in metric.labels]))])

    def add_all(
        self,
        additions: Iterable[tuple[Metric, int, Key]],
        gauge: Metric | None = None,
        values: Iterable[tuple[Key, int]] = (),
    ) -> None:
        """Add each metric's amount under its label values, and set the values of a gauge.

        Label values come in the order in which the metric declares its labels.
        """
        with self._lock:
            for metric, amount, key in additions:
                sums = self._sums[metric.name]
                if key not in sums:
                    sums[self._within_cap(metric, key)] += amount
                elif amount:  # half of the amounts of a call are zero
                    sums[key] += amount
            if gauge is not None:
                current = self._sums[gauge.name]
                for key, value in values:
                    current[key if key in current else self._within_cap(gauge, key)] = value

    def read(self, metric: Metric) -> list[tuple[Mapping[str, str], int]]:
        """Return every label set of ``metric`` with its sum."""
        with self._lock:
            sums = list(self._sums[metric.name].items())
        return [(dict(zip(metric.labels, key, strict=True)), value) for key, value in sums]

    def capped(self, metric: Metric, **labels: str) -> dict[str, str]:
        """Return ``labels`` with values beyond the cap replaced by ``other`` (for histograms)."""
        with self._lock:
            return {name: self._capped(metric, name, value) for name, value in labels.items()}

    def continue_from(self, before: Totals) -> None:
        """Add the totals of an earlier set-up."""
        with before._lock:
            sums = {name: dict(counted) for name, counted in before._sums.items()}
            values = {key: set(known) for key, known in before._values.items()}
        with self._lock:
            for name, counted in sums.items():
                self._sums[name].update(counted)
            for key, known in values.items():
                self._values[key] |= known

    def reset(self) -> None:
        """Reset every sum to zero in a forked child, because the parent reports what it counted."""
        self._lock = threading.Lock()
        for sums in self._sums.values():
            for key in sums:
                sums[key] = 0

    def _within_cap(self, metric: Metric, key: Key) -> Key:
        return tuple(
            self._capped(metric, name, value) for name, value in zip(metric.labels, key, strict=True)
        )

    def _capped(self, metric: Metric, name: str, value: str) -> str:
        known = self._values[metric.name, name]
        if value not in known and len(known) >= LABEL_CAP:
            return OTHER
        known.add(value)
        return value
