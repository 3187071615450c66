"""Totals of this process since it started (or was forked), behind the counters and gauges of the metrics.

Integers all the way, so that nothing is lost by adding; they become floats once, where a metric reader
asks. A label with an open vocabulary is capped: what comes after the cap is ``other``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from telemetry.conventions import OTHER, Metric

LABEL_CAP: Final = 50
"""Different values of one open label of one metric."""


class Totals:
    """Sums by metric and label values. Safe from any thread."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._sums: dict[str, Counter[tuple[str, ...]]] = {}
        self._values: dict[str, dict[str, set[str]]] = {}

    def zero(self, metric: Metric, label_sets: Iterator[tuple[str, ...]]) -> None:
        """Let ``metric`` show zero for ``label_sets`` (values in the metric's label order)."""
        with self._lock:
            sums = self._sums.setdefault(metric.name, Counter())
            for labels in label_sets:
                for name, value in zip(metric.labels, labels, strict=True):
                    self._known(metric, name).add(value)
                sums[labels] += 0

    def add(self, metric: Metric, amount: int = 1, **labels: str) -> None:
        """Add ``amount`` under ``labels``, of which every one the metric declares must be given."""
        with self._lock:
            key = tuple(self._capped(metric, name, labels[name]) for name in metric.labels)
            self._sums.setdefault(metric.name, Counter())[key] += amount

    def put(self, metric: Metric, value: int, **labels: str) -> None:
        """Set the value under ``labels`` (for gauges)."""
        with self._lock:
            key = tuple(self._capped(metric, name, labels[name]) for name in metric.labels)
            self._sums.setdefault(metric.name, Counter())[key] = value

    def read(self, metric: Metric) -> list[tuple[Mapping[str, str], int]]:
        """Return every label set of ``metric`` with its sum."""
        with self._lock:
            items = list(self._sums.get(metric.name, Counter()).items())
        return [(dict(zip(metric.labels, key, strict=True)), value) for key, value in items]

    def capped(self, metric: Metric, **labels: str) -> dict[str, str]:
        """Return ``labels`` with values beyond the cap replaced by ``other`` (for histograms)."""
        with self._lock:
            return {name: self._capped(metric, name, value) for name, value in labels.items()}

    def reset(self) -> None:
        """Set every sum back to zero, in a forked child: the parent reports what it counted."""
        self._lock = threading.Lock()
        for sums in self._sums.values():
            for key in sums:
                sums[key] = 0

    def _known(self, metric: Metric, name: str) -> set[str]:
        return self._values.setdefault(metric.name, {}).setdefault(name, set())

    def _capped(self, metric: Metric, name: str, value: str) -> str:
        known = self._known(metric, name)
        if value in known:
            return value
        if len(known) >= LABEL_CAP:
            return OTHER
        known.add(value)
        return value
