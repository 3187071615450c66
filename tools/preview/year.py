"""The year that the pictures show: the history of the screener, with all stages of its jobs.

It ends at a moment that never changes, so that pictures differ only where dashboards do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Final

import sqlalchemy as sa

from examples.screener.history.history import History
from examples.screener.history.pace import Pace
from examples.screener.history.prices import bill
from examples.screener.history.rows import Job
from examples.screener.history.stages import empty, sums
from examples.screener.history.writing import write
from exporters.sql.schema import migrate
from exporters.upkeep.health_log import HealthCheck
from telemetry.conventions import FAILED, INTERRUPTED, Stage
from telemetry.settings import Settings

NOW: Final = datetime(2026, 11, 30, 16, 30, tzinfo=UTC)
"""When the dashboards are opened: a Monday afternoon."""
TODAY: Final = NOW.date()
ANALYSES: Final = 4000
PACE: Final = Pace(days=365, growth=1.2, troubled=1 / 45, failed=0.006, partial=0.012, limited=0.0008)
DOCUMENTS_DAYS: Final = 45
USERS: Final = 90
"""More than a history of so many analyses has: then cohorts differ."""
SEED: Final = 4
LARGE: Final = "gpt-4o"
SMALL: Final = "gpt-4o-mini"
EMBEDDING: Final = "text-embedding-3-small"
SHARES: Final = {
    Stage.EXTRACTION: 0.12,
    Stage.CRITERIA: 0.02,
    Stage.NAMING: 0.08,
    Stage.EMBEDDING: 0.04,
    Stage.SIMILARITY: 0.01,
    Stage.RANKING: 0.62,
    Stage.INSIGHTS: 0.09,
    Stage.DB_WRITE: 0.02,
}
"""Of the duration of a job."""
LAST_OF_FAILED: Final = Stage.RANKING
"""The stage in which jobs fail, and are interrupted."""
CLOCK: Final = """
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT timestamptz '{now}' $$;
ALTER DATABASE {database} SET search_path = public, pg_catalog;
"""
"""What views and panels call finds our clock first: to them it is always that moment."""
ORPHAN: Final = """
INSERT INTO telemetry_runs
  (run_id, kind, source, synthetic, version, status, started_at, cost_pico, cost_complete)
  VALUES ('{id}', 'orphan', 'spans', false, 1, 'completed', '{at}', 940000000000, true);
INSERT INTO telemetry_stage_usage
  (run_id, stage, operation, model, calls, attempts, input_tokens, output_tokens, cost_pico)
  VALUES ('{id}', 'unattributed', 'chat', '{model}', 41, 42, 250000, 31500, 940000000000);
"""
"""Calls outside any run."""


class Year(History):
    """A history that ends while the last day is under way, on which the provider is in trouble."""

    def __init__(self, analyses: int = ANALYSES) -> None:
        super().__init__(analyses, TODAY + timedelta(days=1), SEED, PACE, DOCUMENTS_DAYS, USERS)
        self._troubled.add(TODAY)
        self._more = Random(SEED)

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs that ended before the moment of the pictures."""
        end = NOW.replace(tzinfo=None)
        for job in super().jobs():
            if job.run["ended_at"] < end:
                self._let_users_leave(job)
                yield self._with_all_stages(job)

    def _let_users_leave(self, job: Job) -> None:
        """Give the job of a user who has left to one who stays: a third leaves after some months."""
        user, day = job.run["user_ref"], job.run["started_at"].date()
        months = 1 + user * 7 % 5
        if user % 3 or day - self._signed_up[user - 1] < timedelta(days=30 * months):
            return
        staying = user - 1 if user > 1 else 2
        job.run["user_ref"] = staying
        for row, name in ((job.analysis, "user_id"), (job.warning, "user_id")):
            if row:
                row[name] = staying

    def _with_all_stages(self, job: Job) -> Job:
        run, began = job.run, job.run["started_at"]
        stages = [stage for stage in job.stages if stage["operation"]]
        for stage in stages:
            stage["model"] = LARGE
        number, calls = run["candidates"], 1 + run["candidates"] // 40
        stages += [
            self._calls(Stage.CRITERIA, SMALL, 1, 1_180, 340),
            self._calls(Stage.NAMING, SMALL, number, 350, 11),
            self._calls(Stage.EMBEDDING, EMBEDDING, calls, 900 * number // calls, 0, "embeddings"),
        ]
        for stage in stages:
            stage["run_id"] = run["run_id"]
            bill(stage, began)
        run |= sums(stages)
        if job.analysis:
            job.analysis["api_calls_made"] = run["api_calls"]
            job.analysis["total_api_cost"] = run["cost_pico"] / 1e12
        stages += self._times(run, stages[0])
        job.stages[:] = stages
        return job

    def _calls(
        self, stage: str, model: str, calls: int, asked: int, answered: int, operation: str = "chat"
    ) -> dict[str, Any]:
        """Return calls, all of which are answered; with the usual tokens of one."""
        about = self._more.uniform
        return {
            **empty(0, stage),
            **{"operation": operation, "model": model, "calls": calls, "attempts": calls},
            "input_tokens": int(calls * asked * about(0.8, 1.25)),
            "output_tokens": int(calls * answered * about(0.8, 1.25)),
            "duration_us": int(calls * 700_000 * about(0.7, 1.6)),
        }

    def _times(self, run: dict[str, Any], like: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield how long the stages were open: rows without calls."""
        texts = ("operation", "model", "service_tier", "price_version", "price_source")
        zero = {
            **{name: 0 if isinstance(value, int) else value for name, value in like.items()},
            **dict.fromkeys(texts, ""),
        }
        opened = 0
        for stage, share in SHARES.items():
            closed = opened + int(run["duration_us"] * share * self._more.uniform(0.6, 1.0))
            times = {"duration_us": closed - opened, "opened_us": opened, "closed_us": closed}
            yield {**zero, "stage": stage, **times}
            if stage == LAST_OF_FAILED and run["status"] in (FAILED, INTERRUPTED):
                return
            opened = closed


def store(url: str, year: History) -> None:
    """Write a history into an empty database whose clock stands still, and its daily log."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    clock = CLOCK.format(now=NOW.isoformat(), database=sa.make_url(url).database)
    with engine.begin() as connection:
        connection.exec_driver_sql(clock)
    migrate.upgrade(url, with_base_tables=True)
    write(engine, year)
    at = (NOW - timedelta(days=5)).replace(tzinfo=None)
    with engine.begin() as connection:
        connection.exec_driver_sql(ORPHAN.format(id="0" * 32, at=at, model=SMALL))
    with HealthCheck(Settings(database_url=url)) as check:
        for _ in check.log(date(TODAY.year, TODAY.month, 1), TODAY - timedelta(days=1)):
            pass
