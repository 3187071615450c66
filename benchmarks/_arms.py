"""Arms: ways to do the same work, measured in turn in one process, so that a busy machine slows all equally.

The time of a call is processor time of the calling thread. It excludes other programs, and background
threads that export or write. Other programs on the machine still slow a call down, through caches and
shared cores, for seconds at a time. So the cost of a call is taken from the fast ones, as `timeit` does:
the 2nd percentile over all rounds. The median, which includes these disturbances, is printed beside it.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

Arm = Callable[[], AbstractContextManager[object]]
"""Sets up one arm, and removes it afterwards."""
Figures = dict[str, list[float]]
"""Microseconds of every call, by arm."""

ROUNDS: Final = 50
CALLS: Final = 40
"""Calls of a round, after the warm-up."""
WARM_UP: Final = 10


def measure(arms: Mapping[str, Arm], call: Callable[[], None], rounds: int = ROUNDS) -> Figures:
    """Measure ``call`` with each of ``arms``, in an order that changes from round to round."""
    figures: Figures = {name: [] for name in arms}
    names, order = list(arms), random.Random(0)
    for _ in range(rounds):
        order.shuffle(names)
        for name in names:
            with arms[name]():
                figures[name] += _one_round(call)
    return figures


def cost(figures: Figures, arm: str) -> float:
    """Return the microseconds of an undisturbed call."""
    return statistics.quantiles(figures[arm], n=50)[0]


def table(figures: Figures, base: str, reference: str) -> str:
    """Return a line for each arm: its cost, what it adds to ``base``, and its ratio to ``reference``."""
    lines = [f"{'µs a call':>37}{'added':>9}{'ratio':>9}{'median':>10}{'ratio':>9}"]
    for arm, calls in figures.items():
        own, median = cost(figures, arm), statistics.median(calls)
        lines.append(
            f"{arm:<28}{own:9.1f}{own - cost(figures, base):+9.1f}{own / cost(figures, reference):9.3f}"
            f"{median:10.1f}{median / statistics.median(figures[reference]):9.3f}"
        )
    return "\n".join(lines)


def _one_round(call: Callable[[], None]) -> list[float]:
    for _ in range(WARM_UP):
        call()
    gc.collect()
    gc.disable()
    times = [_microseconds(call) for _ in range(CALLS)]
    gc.enable()
    return times


def _microseconds(call: Callable[[], None]) -> float:
    started = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - started) / 1000
