"""A real Prometheus with the metrics of the months, and what its engine says of the rules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.prometheus import Prometheus
from tests.tools import program

from .course import notation
from .scene import BEGIN, END, MINUTE

POINTS: Final = 11_000
"""Prometheus answers no query for more points of a series."""
Points = dict[str, list[tuple[int, float]]]
"""Times and values by the labels, as JSON."""


def backfill(name: str, lines: Iterable[str], folder: Path) -> None:
    """Store samples as blocks of Prometheus' storage."""
    text = folder / f"{name}.om"
    with text.open("w") as file:
        file.writelines(lines)
        file.write("# EOF\n")
    subprocess.run(
        [
            *(program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"),
            *("--max-block-duration=1000h", text, folder / "data"),
        ],
        check=True,
        capture_output=True,
    )
    text.unlink()


@contextmanager
def running(folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that answers queries about what is stored."""
    with Prometheus(
        program=program("prometheus"),
        configuration="global: {}\n",
        arguments=("--storage.tsdb.retention.time=10y",),
        data=folder / "data",
    ) as prometheus:
        yield prometheus


def evaluated(prometheus: Prometheus, expression: str, step: int = MINUTE) -> Points:
    """Return the values of an expression over the months, by labels without the name, as rules do."""
    found: Points = {}
    for begin in range(BEGIN, END, POINTS * step):
        end = min(begin + (POINTS - 1) * step, END - step)
        data = prometheus.get("query_range", query=expression, start=str(begin), end=str(end), step=str(step))
        for series in data["result"]:
            labels = {key: value for key, value in series["metric"].items() if key != "__name__"}
            key = json.dumps(labels, sort_keys=True)
            found.setdefault(key, []).extend((int(at), float(value)) for at, value in series["values"])
    return {key: sorted(values) for key, values in found.items()}


def as_samples(name: str, points: Points) -> Iterator[str]:
    """Yield what a recording rule stores."""
    for labels, values in points.items():
        head = notation(name, json.loads(labels))
        for at, value in values:
            yield f"{head} {value!r} {at}\n"
