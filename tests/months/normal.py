"""What happens though nothing is wrong: deployments, restarts, single failures, a slow day."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Final

from telemetry import conventions as c
from telemetry.conventions import gauges

from .course import Course
from .jobs import Job
from .month import Month
from .programs import EXPORTERS, healthy, named, queue, up
from .scene import BEGIN, DAYS, END, HOUR, MINUTE, at

SLOW_DAY: Final = (10, 20)
"""Every job takes half as long again."""
CHECKS: Final = ("runs_sum", "stage_sum")


def usual_months(seed: int, happened: Iterable[Job] = ()) -> Month:
    """Return months in which nothing is wrong, with these jobs or those of a seed."""
    month = Month.usual(seed, happened)
    chance = month.chance
    _deployments(month, chance)
    for job in month.between(at(*SLOW_DAY), at(*SLOW_DAY) + 24 * HOUR):
        job.last((job.end - job.start) * 1.5)
    month.gauges = {
        metric.name: Course({BEGIN: 0.0}, grows=metric is gauges.WORKER_HEARTBEAT)
        for metric in (
            *(c.SPOOL_PENDING, c.SPOOL_OLDEST, c.SPOOL_DEAD, c.INTEGRITY_VIOLATIONS),
            *(gauges.JOBS_WAITING, gauges.WORKER_HEARTBEAT),
        )
    }
    _of_the_host(month, chance)
    month.programs = healthy()
    _programs(month, chance)
    return month


def _deployments(month: Month, chance: Random) -> None:
    """Deploy twice a week or so, when no job is under way; once a worker process dies by itself."""
    number = 0
    for day in DAYS:
        if day.weekday() >= 5 or chance.random() > 0.45:
            continue
        number += 1
        second = month.next_idle(at(day.month, day.day, chance.choice((10, 13, 16)), chance.randrange(60)))
        month.restarts.append((second, second + chance.choice((MINUTE, 2 * MINUTE)), f"1.{number}"))


def _of_the_host(month: Month, chance: Random) -> None:
    """Jobs wait for some seconds, the worker shows each minute that it is alive, and the writer is late."""
    waiting, heartbeat = month.gauges[gauges.JOBS_WAITING.name], month.gauges[gauges.WORKER_HEARTBEAT.name]
    for second in range(BEGIN, END, MINUTE):
        heartbeat.set(second, second - 30)
    pending, oldest = month.gauges[c.SPOOL_PENDING.name], month.gauges[c.SPOOL_OLDEST.name]
    for job in month.between(BEGIN, END):
        minute = job.start - job.start % MINUTE
        if chance.random() < 0.3:
            waiting.set(minute, 1)
            waiting.set(minute + MINUTE, 0)
            pending.set(minute, chance.randint(1, 9))
            oldest.set(minute, chance.randint(1, 20))
        pending.set(minute + 2 * MINUTE, 0)
        oldest.set(minute + 2 * MINUTE, 0)


def _programs(month: Month, chance: Random) -> None:
    """Restart each program once or twice, and lose a scrape or a transaction now and then."""
    for day in DAYS[::4]:
        second = at(day.month, day.day, chance.randrange(24), chance.randrange(60))
        month.programs[up(chance.choice(("alertmanager", "postgres", "otelcol")))].during(
            second, second + MINUTE, 0
        )
        month.count(second, lambda metrics: metrics.totals.add(c.WRITER_FAILURES, 1, transaction="rollup"))
    for day in DAYS[6::21]:  # the Collector is updated
        second = at(day.month, day.day, 9, chance.randrange(60))
        month.programs[up("otelcol")].during(second, second + MINUTE, 0)
        month.no_metrics.append((second, second + 2 * MINUTE))
    for day in DAYS[9::25]:  # PostgreSQL, too
        second = at(day.month, day.day, 5, chance.randrange(60))
        month.programs[named("pg_up", "postgres")].during(second, second + MINUTE, 0)
        for failure in range(3):
            change = lambda metrics: metrics.totals.add(c.WRITER_FAILURES, 1, transaction="rollup")  # noqa: E731
            month.count(second + failure * 20, change)
        month.no_database.append((second, second + MINUTE))
    for day in DAYS[12::30]:  # and Prometheus, which sees nothing meanwhile
        second = at(day.month, day.day, 11, chance.randrange(60))
        for course in month.programs.values():
            course.during(second, second + 2 * MINUTE, None)
    for exporter in EXPORTERS:
        for _ in range(60):
            second = chance.randrange(BEGIN, END - HOUR, MINUTE)
            month.programs[queue(exporter)].during(second, second + 3 * MINUTE, chance.randint(1, 300))
