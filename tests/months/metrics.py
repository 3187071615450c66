"""All series of the months as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from telemetry import conventions as c
from telemetry.conventions import gauges

from . import database
from .course import Course, notation
from .jobs import WEB, WORKER
from .month import Month
from .process import Life
from .scene import BEGIN, HOUR, MINUTE

BY_NAME: Final = {metric.name: metric for metric in c.METRICS}
EXPORTER: Final = WEB[0]
"""The process that exports the gauges from SQL."""
OF_WORKER: Final = {c.SPOOL_PENDING.name, c.SPOOL_OLDEST.name, c.SPOOL_DEAD.name}
CHECK: Final = "stages_sum_to_runs"


def lines(month: Month, folder: Path, since: int = BEGIN) -> Iterator[str]:
    """Yield all samples of the months, or those since a second, series by series."""
    gaps = [second for gap in month.no_metrics for second in gap]
    found = {**month.gauges, **database.courses(month, folder)}
    shared = {name: course.marked(gaps) for name, course in found.items()}
    for life in _lives(month):
        own = dict(life.courses)
        for name, course in shared.items():
            if life.name == (WORKER if name in OF_WORKER else EXPORTER):
                own[_gauge(life, BY_NAME[name])] = course
        own |= {name: course.marked(gaps) for name, course in _of_gauges(life, month).items()}
        for name, course in own.items():
            is_counter = name in life.courses
            for sample in course.samples(
                life.phase, max(life.begin, since), life.end, MINUTE if is_counter else 4 * MINUTE
            ):
                if month.no_metrics and _is_lost(month, sample):
                    continue
                yield name + sample
    for name, course in month.programs.items():
        for sample in course.samples(0, since):
            yield name + sample


def _lives(month: Month) -> list[Life]:
    lives = [Life(number, *known) for number, known in enumerate(month.lives(), start=1)]
    by_process: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        by_process[life.name].append(life)
    for job in month.jobs:
        if job.start >= BEGIN - HOUR:
            _living(by_process[job.process], job.start).run(job)
    for second, process, change in month.counted:
        _living(by_process[process], second).at(second, change)
    for life in lives:
        life.live()
    return lives


def _living(lives: list[Life], second: int) -> Life:
    """Return the life at a time; between two, the next."""
    return next((life for life in lives if second < life.end), lives[-1])


def _gauge(life: Life, metric: c.Metric) -> str:
    labels = {"check": CHECK} if metric is c.INTEGRITY_VIOLATIONS else {}
    return notation(metric.prometheus_name, {**life.labels, **labels})


def _of_gauges(life: Life, month: Month) -> dict[str, Course]:
    """Return who exports the gauges from SQL, and how old they are: without a database nobody can."""
    is_exporter = life.name == EXPORTER
    found = {_gauge(life, gauges.GAUGES_EXPORTER): Course({BEGIN: float(is_exporter)})}
    if is_exporter:
        for query, age in (("today", 7.0), ("days", 200.0)):
            labels = {**life.labels, "query": query}
            found[notation(gauges.GAUGES_AGE.prometheus_name, labels)] = Course({BEGIN: age})
        for begin, end in month.no_database:
            for name, course in found.items():
                exported = notation(gauges.GAUGES_EXPORTER.prometheus_name, life.labels) == name
                course.during(begin + MINUTE, end, 0.0 if exported else None)
    return found


def _is_lost(month: Month, sample: str) -> bool:
    second = int(sample.rpartition(" ")[2])
    return any(begin <= second < end for begin, end in month.no_metrics)
