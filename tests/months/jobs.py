"""What is analysed: jobs of the history generator, on days when nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any, Final

from examples.screener.history.history import History
from examples.screener.history.pace import Pace
from examples.screener.history.rows import Job as Past
from telemetry import conventions as c

from .scene import BEFORE, DAYS, LAST, second

PACE: Final = Pace(
    days=len(DAYS) + BEFORE,
    growth=0.3,
    troubled=0.0,
    interrupted=0.0004,
    failed=0.006,
    limited=0.0004,
    incomplete=0.002,
)
"""As in years of history, but without outages of the provider: these are incidents."""
JOBS: Final = 3400
"""Of the history, of which 60 to 100 % come, another share each day."""
COST: Final = 7
"""The model costs so many times as much as that of the history."""
LIMIT: Final = 100
"""Candidates of a job above which users are warned."""
OVERRIDES: Final = 0.35
IN_REQUEST: Final = 75
"""Candidates up to which a job runs in a request, and not in the worker."""
WEB: Final = ("web-1", "web-2")
WORKER: Final = "worker"


@dataclass
class Job:
    """One job; incidents change it before it happens."""

    run: dict[str, Any]
    """Its row in ``telemetry_runs`` once it has ended."""
    calls: dict[str, int]
    """Calls by stage."""
    start: int
    end: int
    process: str
    statuses: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    """What the first calls of a stage met, attempt by attempt; all others were answered at once."""
    model: str = "gpt-4o"
    headroom: int = 6000
    """Share of the rate limits that is left, in ten-thousandths."""
    has_price: bool = True
    has_usage: bool = True
    never_ends: bool = False
    """Whether the process is lost with its disk, so that nobody tells the database of the end."""

    @property
    def status(self) -> str:
        return str(self.run["status"])

    def shift(self, seconds: int) -> None:
        """Let it begin later."""
        self.start += seconds
        self.end += seconds
        for name in ("started_at", "ended_at", "seen_at"):
            self.run[name] += timedelta(seconds=seconds)

    def last(self, seconds: float) -> None:
        """Let it take so long."""
        self.end = self.start + int(seconds)
        self.run["ended_at"] = self.run["seen_at"] = self.run["started_at"] + timedelta(seconds=seconds)
        self.run["duration_us"] = int(seconds * 1e6)

    def fail(self, status: str = c.FAILED) -> None:
        """Let it end without a result."""
        self.run["status"] = status


def jobs(seed: int) -> Iterator[Job]:
    """Yield the jobs of the months, and of the days before."""
    chance = Random(seed)
    history = History(JOBS, LAST + timedelta(days=1), seed, PACE)
    busy: dict[date, float] = {}
    for past in history.jobs():
        share = busy.setdefault(past.run["started_at"].date(), chance.uniform(0.6, 1.0))
        if chance.random() < share:
            run = past.run
            run["cost_pico"] *= COST
            run["exceeded_resume_limit"] = run["candidates"] > LIMIT
            run["user_chose_override"] = run["exceeded_resume_limit"] and chance.random() < OVERRIDES
            past.stages[:] = _answered(past)
            yield job(past, chance)


def _answered(past: Past) -> list[dict[str, Any]]:
    """Return the calls of candidates with a score: what else fails in the months is up to incidents."""
    run, hits = past.run, {stage["stage"]: stage["rate_limit_hits"] for stage in past.stages}
    ranked = sum(stage["calls"] for stage in past.stages if stage["stage"] == c.Stage.RANKING)
    done = ranked // run["criteria"] if run["status"] == c.INTERRUPTED else run["n_scored"]
    calls = {c.Stage.RANKING: done * run["criteria"], c.Stage.INSIGHTS: min(done, 5)}
    return [
        {"stage": stage, "calls": number, "rate_limit_hits": hits.get(stage, 0)}
        for stage, number in calls.items()
    ]


def job(past: Past, chance: Random) -> Job:
    """Return a job of a history, without a row of the application."""
    run = {**past.run, **dict.fromkeys(("analysis_ref", "analysis_created_at", "analysis_seen_at"))}
    stages = [stage for stage in past.stages if stage["calls"]]
    start = second(run["started_at"])
    made = Job(
        run,
        {stage["stage"]: stage["calls"] for stage in stages},
        start,
        start + max(run["duration_us"] // 10**6, 1),
        chance.choice(WEB) if run["candidates"] <= IN_REQUEST else WORKER,
    )
    for stage in stages:
        met: list[tuple[str, ...]] = [(c.TOO_FAST, "200")] * stage["rate_limit_hits"]
        # Now and then an answer comes only at the second attempt, and very rarely none.
        met += [("500", "200")] * sum(chance.random() < 0.0008 for _ in range(stage["calls"]))
        met += [("500", "500", "500")] * (chance.random() < 0.004)
        made.statuses[stage["stage"]] = met[: stage["calls"]]
    return made
