"""What Prometheus has stored of the last weeks of the year: the metrics of the same jobs, and alerts.

The metrics that rules read are made as for the months in which alerts are proven (``tests/months``): counters
by the product's own totals, gauges by its own queries, recordings and alerts by its own rules. Those that
only dashboards read are added here.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

from examples.screener.history.history import History
from exporters.alert_rules.groups import groups
from telemetry import conventions as c
from telemetry.conventions import Stage
from telemetry.settings import Settings
from tests.months.backfilled import backfill, running
from tests.months.course import Course, notation
from tests.months.jobs import Job, job
from tests.months.month import Month
from tests.months.normal import usual_months
from tests.months.scene import BEFORE, BEGIN, DAY, MINUTE, second
from tests.months.verdict import alerts_fired, store

from .year import NOW, SEED, SHARES

JOB: Final = Settings().alert_job
PROCESS: Final = {"job": JOB, "instance": "web-1"}
END: Final = int(NOW.timestamp()) + 10 * MINUTE
SINCE: Final = END - 34 * DAY
"""When Prometheus begins: rules look back some days before the period that is shown."""
MEASURED: Final = (Stage.RANKING, Stage.INSIGHTS)
"""The stages whose calls are counted one by one: nearly all, and the fewer series the better."""
CALLS: Final = "gen_ai_client_operation_duration_seconds_bucket"
CALL_BUCKETS: Final = (0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Of those of the conventions for generative AI, the ones that calls reach."""
Histogram = dict[str, Course]


def store_weeks(year: History, folder: Path) -> None:
    """Store the metrics of the jobs of a year, as far as Prometheus remembers them; it takes minutes."""
    chance, rules = Random(SEED), groups(Settings())
    begin = BEGIN - BEFORE * DAY
    month = usual_months(
        SEED, [job(past, chance) for past in year.jobs() if second(past.run["started_at"]) >= begin]
    )
    for each in month.jobs:
        each.has_usage = not each.run["usage_missing"]
        each.headroom = _headroom(each, chance)
        each.calls = {stage: calls for stage, calls in each.calls.items() if stage in MEASURED}
    store(month, folder, rules, since=SINCE)
    backfill("shown", _shown(month, chance), folder)
    with running(folder) as prometheus:
        alerts = {alert.name: alert for group in rules for alert in group.alerts}
        fired = [(alerts[one.alert], one) for one in alerts_fired(prometheus, rules)]
    samples = (
        sample
        for alert, one in fired
        for sample in _firing(
            {
                **json.loads(one.labels),
                "severity": alert.severity,
                "service": alert.service,
                "alertname": alert.name,
            },
            range(one.begin, one.end + 1, MINUTE),
        )
    )
    backfill("alerts", samples, folder)


def _headroom(each: Job, chance: Random) -> int:
    """Return what is left of the rate limits, in ten-thousandths: little for large jobs, and on bad days."""
    is_refused = each.run["rate_limit_hits"] > 20
    return int(max(200, (1500 if is_refused else 9000) - 12 * each.run["candidates"] - chance.randrange(800)))


def _firing(labels: Mapping[str, str], seconds: Iterable[int]) -> Iterator[str]:
    head = notation("ALERTS", {**labels, "alertstate": "firing"})
    for at in seconds:
        yield f"{head} 1 {at}\n"


def _shown(month: Month, chance: Random) -> Iterator[str]:
    """Yield the samples of what only dashboards read."""
    jobs = month.between(SINCE, END)
    courses = {
        **_histograms(jobs, chance),
        notation(c.RUNS_ACTIVE.prometheus_name, {**PROCESS, "kind": "analysis"}): _active(jobs),
        notation(c.OPENAI_BACKOFF.prometheus_name, {**PROCESS, "stage": Stage.RANKING}): _waited(jobs),
        **{name: Course({SINCE: 0}) for name in _zero()},
    }
    for name, course in courses.items():
        for sample in course.samples(0, SINCE, END):
            yield name + sample


def _zero() -> Iterator[str]:
    """Yield what is 0 while telemetry works."""
    of: dict[c.Metric, list[dict[str, str]]] = {
        c.SPOOL_UNREADABLE: [{}],
        c.SPOOL_SHED: [{"what": part} for part in c.SHED_PARTS],
        c.INTERNAL_ERRORS: [{"component": name} for name in c.COMPONENTS],
        c.OPENAI_RETRY_AFTER: [{"stage": stage} for stage in MEASURED],
        c.OPENAI_UNACCOUNTED: [{"reason": reason} for reason in c.UNACCOUNTED_REASONS],
        c.WRITER_FAILURES: [{"transaction": name} for name in c.TRANSACTIONS],
    }
    for metric, series in of.items():
        for labels in series:
            yield notation(metric.prometheus_name, {**PROCESS, **labels})


def _active(jobs: Sequence[Job]) -> Course:
    changes: dict[int, int] = defaultdict(int)
    for each in jobs:
        changes[each.start // MINUTE * MINUTE] += 1
        changes[(each.end // MINUTE + 1) * MINUTE] -= 1
    course, number = Course({SINCE: 0}), 0
    for at, change in sorted(changes.items()):
        number += change
        course.set(at, number)
    return course


def _waited(jobs: Sequence[Job]) -> Course:
    course, seconds = Course({SINCE: 0}), 0.0
    for each in sorted(jobs, key=lambda each: each.end):
        seconds += each.run["backoff_us"] / 1e6
        course.set(each.end // MINUTE * MINUTE, seconds)
    return course


def _histograms(jobs: Sequence[Job], chance: Random) -> Histogram:
    """Return the durations of stages, of calls, and of the writer's transactions."""
    found: Histogram = {}
    sums: dict[str, float] = defaultdict(float)
    for each in sorted(jobs, key=lambda each: each.end):
        span, at = each.end - each.start, each.end // MINUTE * MINUTE
        slow = 2.2 if each.run["rate_limit_hits"] > 20 else 1
        counts = dict[tuple[str, tuple[float, ...]], Mapping[float, float]]()
        for stage, share in SHARES.items():
            labels = {**PROCESS, "stage": stage}
            name = notation(c.STAGE_DURATION.prometheus_name + "_bucket", labels)
            seconds = span * share * chance.uniform(0.8, 1.2)
            counts[name, c.STAGE_DURATION.buckets] = {seconds: 1}
        calls = notation(CALLS, PROCESS)
        counts[calls, CALL_BUCKETS] = _spread(0.9 * slow, sum(each.calls.values()), chance)
        for transaction in c.TRANSACTIONS[:3]:
            name = notation(
                c.WRITER_DURATION.prometheus_name + "_bucket", {**PROCESS, "transaction": transaction}
            )
            counts[name, c.WRITER_DURATION.buckets] = _spread(0.006, 8, chance)
        for (name, buckets), values in counts.items():
            for limit in (*buckets, math.inf):
                series = f'{name[:-1]},le="{"+Inf" if limit == math.inf else f"{limit:g}"}"}}'
                found.setdefault(series, Course({SINCE: 0}))
                sums[series] += sum(number for value, number in values.items() if value <= limit)
                found[series].set(at, sums[series])
    return found


def _spread(middle: float, number: int, chance: Random) -> Mapping[float, float]:
    """Return some values around a middle, each standing for as many as there are."""
    return {chance.lognormvariate(math.log(middle), 0.5): number / 20 for _ in range(20)}
