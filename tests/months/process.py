"""The counters of the processes: each life of a process has its own, by the product's own totals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from uuid import UUID

from exporters.metrics.instruments import SCALES, Metrics
from exporters.metrics.totals import Key, Totals
from exporters.rollup.call import Call
from telemetry import conventions as c
from telemetry.pricing.prices import Price, Tokens

from .course import Course, notation
from .jobs import Job
from .scene import MINUTE, SETTINGS

PROMOTED: Final = {"service_name": SETTINGS.alert_job, "deployment_environment_name": "production"}
READ: Final = {
    metric.name
    for metric in (
        *(c.RUNS, c.OPENAI_ATTEMPTS, c.OPENAI_OPERATIONS, c.OPENAI_RETRIES, c.OPENAI_UNACCOUNTED),
        *(c.OPENAI_HEADROOM, c.DOCUMENTS, c.SPOOL_SHED, c.WRITER_FAILURES),
    )
}
"""The metrics that are written: those of which rules read."""
TOKENS: Final = Tokens(input=700, output=120)
PRICE: Final = Price(1_000_000_000, "genai-prices", "1")
SHARES: Final = {"ranking": 0.93, "insights": 0.05}
"""Shares of the stages in the duration of a job."""
Change = Callable[[Metrics], None]


class _Noting(Totals):
    """Totals that remember what has changed."""

    def __init__(self, before: Totals) -> None:
        super().__init__()
        self.changed: set[tuple[c.Metric, Key]] = set()
        self.continue_from(before)
        self.at_zero = {(name, key) for name, sums in self._sums.items() for key in sums}

    def add_all(
        self,
        additions: Iterable[tuple[c.Metric, int, Key]],
        gauge: c.Metric | None = None,
        values: Iterable[tuple[Key, int]] = (),
    ) -> None:
        additions, values = list(additions), list(values)
        new = {(metric, key) for metric, _, key in additions if key not in self._sums[metric.name]}
        super().add_all(additions, gauge, values)
        self.changed |= new | {(metric, key) for metric, amount, key in additions if amount}
        if gauge is not None:
            self.changed |= {(gauge, key) for key, _ in values}

    def changes(self) -> Iterator[tuple[c.Metric, Key, float]]:
        """Yield what has changed since the last time."""
        for metric, key in self.changed:
            if metric.name in READ and (metric is not c.RUNS or key[0] == "analysis"):
                yield metric, key, self._sums[metric.name][key] * SCALES.get(metric.name, 1)
        self.changed.clear()


class Life:
    """A process from its start to its end."""

    def __init__(self, number: int, name: str, begin: int, end: int, version: str) -> None:
        self.name, self.begin, self.end = name, begin, end
        self.labels = {
            "job": SETTINGS.alert_job,
            "instance": str(UUID(int=number)),
            "service_version": version,
            **PROMOTED,
        }
        self.phase = number * 17 % MINUTE
        """The second of the minute in which it exports."""
        self._metrics = Metrics(SETTINGS)
        self._totals = _Noting(self._metrics.totals)
        self._metrics.totals = self._totals
        self._due: list[tuple[int, Change]] = []
        self._stages: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.courses: dict[str, Course] = defaultdict(Course)
        """Its series by their notation."""

    def at(self, second: int, change: Change) -> None:
        """Let it count something, at a time in its life."""
        self._due.append((min(max(second, self.begin), self.end - MINUTE), change))

    def live(self) -> None:
        """Let happen what is due, and note what has changed with each export."""
        completed = (c.RUNS, ("analysis", c.COMPLETED, "small"))
        self._course(*completed).set(self.begin, 0)
        exported, waiting = self.begin, False
        for second, change in sorted(self._due, key=lambda one: one[0]):
            export = second + (self.phase - second) % MINUTE
            if waiting and export != exported:
                self._note(exported)
            change(self._metrics)
            exported, waiting = export, True
        self._note(exported)

    def _note(self, second: int) -> None:
        for metric, key, value in self._totals.changes():
            self._course(metric, key).set(second, value)
        for stage, (count, spent) in self._stages.items():
            labels = {**self.labels, "stage": stage}
            for suffix, value in (("_count", count), ("_sum", spent)):
                name = notation(c.STAGE_DURATION.prometheus_name + suffix, labels)
                if (course := self.courses[name]).value(second) != value:
                    course.set(second, value)

    def _course(self, metric: c.Metric, key: Key) -> Course:
        labels = dict(zip(metric.labels, key, strict=True))
        name = notation(metric.prometheus_name, {**self.labels, **labels})
        if name not in self.courses and (metric.name, key) in self._totals.at_zero:
            self.courses[name].set(self.begin, 0)
        return self.courses[name]

    def run(self, job: Job) -> None:
        """Let it run a job: its calls one after the other, and its stages and itself at the end."""
        begin, span = job.start, job.end - job.start
        for stage, calls in job.calls.items():
            length = span * SHARES.get(stage, 0.02)
            met = job.statuses.get(stage, [])
            places = {(2 * n + 1) * calls // (2 * len(met)): statuses for n, statuses in enumerate(met)}
            for number in range(calls):
                statuses = places.get(number, ("200",))
                self.at(int(begin + length * number / calls), _called(stage, statuses, job))
            self.at(job.end, self._ended(stage, length))
            begin += int(length)
        if not job.never_ends:
            self.at(job.end, _finished(job))

    def _ended(self, stage: str, seconds: float) -> Change:
        def change(_: Metrics) -> None:
            self._stages[stage][0] += 1
            self._stages[stage][1] += seconds

        return change


def _called(stage: str, statuses: tuple[str, ...], job: Job) -> Change:
    ok = statuses[-1] == "200"
    call = Call(
        stage,
        "chat",
        job.model,
        "default",
        ok,
        900_000,
        statuses,
        backoff_us=500_000 * (len(statuses) - 1),
        tokens=TOKENS if ok and job.has_usage else None,
        price=PRICE if ok and job.has_price else None,
        headroom=(("requests", job.headroom), ("tokens", job.headroom)) if ok else (),
    )
    return lambda metrics: metrics.call(call)


def _finished(job: Job) -> Change:
    number = int(job.run["candidates"])
    labels = {"kind": "analysis", "status": job.status, "batch_size": c.batch_size(number)}

    def change(metrics: Metrics) -> None:
        metrics.totals.add(c.RUNS, 1, **labels)
        if done := job.run["n_scored"]:
            metrics.totals.add(c.DOCUMENTS, done, type="pdf", outcome=c.SCORED)
        if lost := number - job.run["n_scored"]:
            metrics.totals.add(c.DOCUMENTS, lost, type="pdf", outcome=c.FAILED)

    return change
