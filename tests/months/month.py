"""All that happens in the months, before it becomes metrics. Incidents change it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from sqlalchemy.engine import Connection

from exporters.metrics.instruments import Metrics

from .course import Course
from .jobs import WEB, WORKER, Job, jobs
from .scene import BEFORE, DAY, DAYS, HOUR, MINUTE, at

Change = Callable[[Metrics], None]
Write = Callable[[Connection], object]


@dataclass
class Month:
    """What happens, by subject."""

    chance: Random
    jobs: list[Job] = field(default_factory=list)
    restarts: list[tuple[int, int, str]] = field(default_factory=list)
    """When processes end, when the next ones begin, and the version of these."""
    counted: list[tuple[int, str, Change]] = field(default_factory=list)
    """When a process counts something that is no job."""
    written: list[tuple[int, Write]] = field(default_factory=list)
    """When something is written to the database beside the jobs."""
    logged: dict[date, int] = field(default_factory=dict)
    """When the daily check logged a day."""
    no_database: list[tuple[int, int]] = field(default_factory=list)
    no_metrics: list[tuple[int, int]] = field(default_factory=list)
    """Periods in which no metrics of the application arrive."""
    gauges: dict[str, Course] = field(default_factory=dict)
    """Gauges of every process, and those of the host; by their names in the catalogue."""
    programs: dict[str, Course] = field(default_factory=dict)
    """Metrics of other programs, by their notation."""

    @classmethod
    def usual(cls, seed: int, happened: Iterable[Job] = ()) -> Month:
        """Return months without incidents, with these jobs or those of a seed."""
        month = cls(Random(seed), sorted(happened or jobs(seed), key=lambda job: job.start))
        month.logged = {
            day: at(day.month, day.day) + DAY + 10 * MINUTE
            for day in (DAYS[0] + timedelta(days=n) for n in range(-BEFORE, len(DAYS)))
        }
        return month

    def between(self, begin: int, end: int) -> list[Job]:
        """Return the jobs that begin in a period."""
        return [job for job in self.jobs if begin <= job.start < end]

    def cost(self, begin: int, end: int) -> float:
        """Return what the jobs that begin in a period cost, in dollars."""
        return float(sum(job.run["cost_pico"] for job in self.between(begin, end)) / 1e12)

    def next_idle(self, second: int) -> int:
        """Return the first minute from a time on in which no job is under way."""
        spans = sorted((job.start, job.end) for job in self.between(second - 3 * HOUR, second + 12 * HOUR))
        for start, end in spans:
            if start <= second + 2 * MINUTE and end >= second:
                second = end + MINUTE
        return second

    def count(self, second: int, change: Change, process: str = WEB[0]) -> None:
        """Let a process count something."""
        self.counted.append((second, process, change))

    def lives(self) -> Iterator[tuple[str, int, int, str]]:
        """Yield the lives of the processes: name, begin, end and version."""
        yield from (
            (name, begin, end, version) for begin, end, version in self._epochs() for name in (*WEB, WORKER)
        )

    def _epochs(self) -> Iterator[tuple[int, int, str]]:
        from .scene import BEGIN, END

        begin, version = BEGIN - HOUR, "1.0"
        for ended, begun, following in sorted(self.restarts):
            yield begin, ended, version
            begin, version = begun, following
        yield begin, END, version
