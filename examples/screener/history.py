"""Years of analyses in a minute: ``python -m examples.screener.history --database-url URL --analyses 10000``.

The same seed gives the same history: users who come one after another and come back, weekdays and holidays,
growth, batches of every size, days on which the provider is in trouble, jobs that fail before they have a
row. The database must have the tables of the screener and of telemetry, and no analyses.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console

from .demo.steps import Steps

BATCH: Final = 5000
RESUME_LIMIT: Final = 200
PICO_AN_INPUT_TOKEN: Final = 150_000
PICO_AN_OUTPUT_TOKEN: Final = 600_000
WEEKDAYS: Final = (1.0, 1.1, 1.1, 1.0, 0.75, 0.12, 0.08)
ERRORS: Final = (
    "openai.RateLimitError",
    "openai.APITimeoutError",
    "openai.InternalServerError",
    "ValueError",
)
FILE_TYPES: Final = ("pdf", "docx", "txt", "rtf")
FILE_SHARES: Final = (70, 22, 6, 2)
ACTIONS: Final = ("continued", "continued", "abandoned", "reduced_batch")

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One analysis: its run with its parts, and the application's row, if there is one."""

    run: Row
    stages: list[Row]
    analysis: Row | None
    documents: list[Row] = field(default_factory=list)
    counters: list[Row] = field(default_factory=list)
    warning: Row | None = None


@dataclass(frozen=True)
class Pace:
    """How long a history is, how fast it grows, and how often what goes wrong."""

    days: int = 3 * 365
    growth: float = 1.6
    """Logarithm of the growth from the first day to the last."""
    troubled: float = 1 / 60
    """Share of the days with an outage of the provider."""
    interrupted: float = 0.004
    failed: float = 0.011
    partial: float = 0.015
    """Shares of the jobs, on other days."""
    limited: float = 0.004
    """Share of the calls that meet a rate limit, of at most 40 in a stage."""
    incomplete: float = 0.005
    """Share of the jobs whose cost is incomplete."""


USUAL: Final = Pace()


class History:
    """A history that ends yesterday, of so many analyses.

    Only analyses of the last ``documents_days`` have documents: there are a hundred times as many of them.
    """

    def __init__(
        self,
        analyses: int,
        end: date,
        seed: int = 1,
        pace: Pace = USUAL,
        documents_days: int = 0,
        users: int = 0,
    ) -> None:
        self._random = Random(seed)
        self._with_documents = end - timedelta(days=documents_days)
        self._of_documents = Random(seed)
        self._analyses = analyses
        self._number_of_users = users or max(3, analyses // 200)
        self._pace = pace
        self._days = [end - timedelta(days=pace.days - n) for n in range(pace.days)]
        self._troubled = {day for day in self._days if self._random.random() < pace.troubled}
        self._signed_up = self._sign_ups()

    def users(self) -> Iterator[Row]:
        """Yield the users, in the order of their registration."""
        for number, day in enumerate(self._signed_up, start=1):
            yield {
                "id": number,
                "email": f"user-{number}@example.com",
                "password_hash": "!",
                "name": f"User {number}",
                "created_at": _at(day, 7.5),
            }

    def jobs(self) -> Iterator[Job]:
        """Yield the analyses, in the order of their start."""
        number, owed, whole = 0, 0.0, sum(map(self._weight, self._days))
        known = 0
        for day in self._days:
            while known < len(self._signed_up) and self._signed_up[known] <= day:
                known += 1
            owed += self._analyses * self._weight(day) / whole
            today, owed = int(owed + 1e-6), owed - int(owed + 1e-6)
            for hour in sorted(self._hour() for _ in range(today)):
                number += 1
                yield self._job(number, _at(day, hour), day in self._troubled, known)

    def _weight(self, day: date) -> float:
        """Return the weight of a day, by growth, weekday and season."""
        age = (day - self._days[0]).days / len(self._days)
        holidays = 0.15 if (day.month, day.day) >= (12, 22) else 0.6 if day.month == 8 else 1.0
        return math.exp(self._pace.growth * age) * WEEKDAYS[day.weekday()] * holidays

    def _sign_ups(self) -> list[date]:
        places = sorted(self._random.random() ** 0.6 for _ in range(self._number_of_users))
        return [self._days[0], *(self._days[int(place * len(self._days))] for place in places[1:])]

    def _hour(self) -> float:
        return min(max(self._random.gauss(13, 3.2), 0.0), 23.9)

    def _job(self, number: int, began: datetime, is_troubled: bool, users: int) -> Job:
        chance = self._random
        candidates = min(max(int(chance.lognormvariate(2.9, 1.1)), 1), 400)
        criteria = chance.randint(3, 8)
        user = 1 + int(users * chance.random() ** 2.2)
        status = self._status(is_troubled)
        done = candidates if status == "completed" else int(candidates * chance.random())
        stages = self._stages(number, done, criteria, is_troubled)
        has_documents = began.date() >= self._with_documents
        if has_documents:
            self._use_cache(stages)
        seconds = 4 + candidates * chance.uniform(0.3, 1.2) * (2 if is_troubled else 1)
        has_row = status != "failed" or chance.random() > 0.3
        exceeded = candidates > RESUME_LIMIT
        overridden = exceeded and self._of_documents.random() < 0.35
        scores = self._scores(done)
        run = {
            "run_id": _run_id(number),
            "kind": "analysis",
            "source": "spans",
            "synthetic": False,
            "user_ref": user,
            "analysis_ref": number if has_row else None,
            "analysis_created_at": began if has_row else None,
            "analysis_seen_at": began if has_row else None,
            "version": 1,
            "projected_version": 1,
            "user_version": 1,
            "status": status,
            "started_at": began,
            "ended_at": began + timedelta(seconds=seconds),
            "seen_at": began + timedelta(seconds=seconds),
            "duration_us": int(seconds * 1e6),
            "queue_wait_us": int(chance.expovariate(1 / 3e6)) if candidates > 75 else None,
            "candidates": candidates,
            "criteria": criteria,
            "jd_bytes": 30_000,
            "jd_characters": chance.randint(900, 6000),
            "n_documents": candidates,
            "n_failed": candidates - done if status == "partial_failure" else 0,
            "resume_bytes": 60_000 * candidates,
            "resume_characters": 3200 * candidates,
            "resume_characters_min": 900,
            "resume_characters_max": 9000,
            **scores,
            **{name: sum(stage[name] for stage in stages) for name in _SUMS},
            "api_calls": sum(stage["calls"] for stage in stages),
            "cost_complete": chance.random() > self._pace.incomplete,
            "error_count": 0 if status == "completed" else 1,
            "error_types": None if status == "completed" else self._error(),
            "trace_id": f"{chance.getrandbits(128):032x}",
            "trace_sampled": chance.random() < 0.1,
            "exceeded_resume_limit": exceeded if has_row else None,
            "price_pico": candidates * 5 * 10**11 if has_row else None,
            "user_chose_override": overridden if has_row else None,
        }
        analysis = self._analysis(number, run) if has_row else None
        if not has_documents:
            return Job(run, stages, analysis)
        return Job(
            run,
            [*stages, *_times(stages, seconds)],
            analysis,
            [self._document(run, done, place) for place in range(candidates)],
            self._counters(run, is_troubled),
            self._warning(run) if analysis else None,
        )

    def _document(self, run: Row, done: int, place: int) -> Row:
        chance = self._of_documents
        kind = chance.choices(FILE_TYPES, FILE_SHARES)[0]
        characters = min(int(chance.lognormvariate(8.1, 0.5)), 60_000)
        size = int(characters * chance.uniform(2, 60) + (20_000 if kind == "pdf" else 8_000))
        is_scored = place < done
        return {
            "run_id": run["run_id"],
            "document_key": hashlib.blake2b(f"{run['run_id']} {place}".encode(), digest_size=16).hexdigest(),
            "ordinal": 0,
            "size_bytes": size,
            "characters": characters if is_scored or chance.random() < 0.7 else None,
            "type": kind,
            "extraction_us": int(size * chance.uniform(0.5, 3)),
            "analysis_us": int(characters * chance.uniform(150, 600)) if is_scored else None,
            "chunk_count": 1 + characters // 4000,
            "score": round(chance.betavariate(5, 3), 4) if is_scored else None,
            "outcome": "scored" if is_scored else "failed" if run["status"] != "completed" else "unscored",
            "error_type": None if is_scored else chance.choice(ERRORS),
            "fallback": False,
        }

    def _counters(self, run: Row, is_troubled: bool) -> list[Row]:
        retries = self._of_documents.randint(0, 9) if is_troubled else int(self._of_documents.random() < 0.05)
        return [{"run_id": run["run_id"], "name": "app_retries", "value": retries}] if retries else []

    def _warning(self, run: Row) -> Row | None:
        chance = self._of_documents
        kind = "batch_too_large" if run["exceeded_resume_limit"] else "resume_too_long"
        if kind == "resume_too_long" and chance.random() > 0.06:
            return None
        return {
            "analysis_id": run["analysis_ref"],
            "user_id": run["user_ref"],
            "warning_type": kind,
            "warning_shown_at": run["started_at"],
            "user_action": "override" if run["user_chose_override"] else chance.choice(ACTIONS),
            "document_count": run["candidates"],
        }

    def _status(self, is_troubled: bool) -> str:
        draw, pace = self._random.random() / (12 if is_troubled else 1), self._pace
        if draw < pace.interrupted:
            return "interrupted"
        draw -= pace.interrupted
        if draw < pace.failed:
            return "failed"
        return "partial_failure" if draw < pace.failed + pace.partial else "completed"

    def _scores(self, done: int) -> Row:
        """Return the scores of the candidates, which are normally distributed."""
        middle = min(max(self._random.gauss(0.6, 0.1), 0.2), 0.9)
        above = round(done * min(max(middle - 0.25, 0), 1))
        below = round((done - above) * min(max(0.75 - middle, 0), 1))
        known = {"score_avg": middle, "score_median": middle, "score_min": 0.1, "score_max": 0.95}
        return {
            "n_scored": done,
            **(known if done else dict.fromkeys(known)),
            "above_70": above,
            "from_50_to_70": done - above - below,
            "below_50": below,
        }

    def _stages(self, number: int, done: int, criteria: int, is_troubled: bool) -> list[Row]:
        found = [("ranking", done * criteria, 900, 120), ("insights", min(done, 5), 2600, 450)]
        return [self._stage(number, *stage, is_troubled) for stage in found if stage[1]]

    def _stage(
        self, number: int, stage: str, calls: int, asked: int, answered: int, is_troubled: bool
    ) -> Row:
        share = 0.2 if is_troubled else self._pace.limited
        limited = sum(self._random.random() < share for _ in range(min(calls, 40)))
        tokens = (calls * self._random.randint(asked // 2, asked), calls * answered)
        return {
            "run_id": _run_id(number),
            "stage": stage,
            "operation": "chat",
            "model": "gpt-4o-mini",
            "service_tier": "default",
            "price_version": "1",
            "price_source": "genai-prices",
            "calls": calls,
            "attempts": calls + limited,
            "rate_limit_hits": limited,
            "rate_limit_retries": limited,
            "backoff_us": limited * 800_000,
            "duration_us": calls * self._random.randint(600_000, 2_400_000),
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "cached_tokens": 0,
            "cost_pico": tokens[0] * PICO_AN_INPUT_TOKEN + tokens[1] * PICO_AN_OUTPUT_TOKEN,
            "saved_pico": 0,
            "output_pico": tokens[1] * PICO_AN_OUTPUT_TOKEN,
            "opened_us": None,
            "closed_us": None,
        }

    def _use_cache(self, stages: list[Row]) -> None:
        """Read a part of the input from the prompt cache, at half its price."""
        for stage in stages:
            stage["cached_tokens"] = int(stage["input_tokens"] * self._of_documents.uniform(0, 0.5))
            stage["saved_pico"] = stage["cached_tokens"] * PICO_AN_INPUT_TOKEN // 2
            stage["cost_pico"] -= stage["saved_pico"]

    def _error(self) -> str:
        kind = self._random.choice(ERRORS)
        return json.dumps([{"stage": "ranking", "type": kind, "count": 1}])

    def _analysis(self, number: int, run: Row) -> Row:
        is_over = run["status"] in ("completed", "partial_failure")
        return {
            "id": number,
            "user_id": run["user_ref"],
            "job_title": "Engineer",
            "num_candidates": run["candidates"],
            "num_criteria": run["criteria"],
            "cost_usd": round(0.5 * run["candidates"], 2),
            "created_at": run["started_at"],
            "completed_at": run["ended_at"] if is_over else None,
            "processing_duration_seconds": run["duration_us"] // 10**6 if is_over else None,
            "exceeded_resume_limit": run["exceeded_resume_limit"],
            "user_chose_override": run["user_chose_override"],
            "api_calls_made": run["api_calls"],
            "total_api_cost": run["cost_pico"] / 1e12,
            "status": run["status"],
        }


_SUMS: Final = (
    *("attempts", "rate_limit_hits", "rate_limit_retries", "backoff_us"),
    *("input_tokens", "cached_tokens", "output_tokens", "cost_pico"),
)
_PARTS: Final = {
    "stages": "telemetry_stage_usage",
    "documents": "telemetry_documents",
    "counters": "telemetry_counters",
}
"""Tables of the parts of a job."""
_USERS: Final = """
    INSERT INTO telemetry_users
        (user_ref, created_at, jobs, candidates, cost_pico, largest_batch, last_run_at)
    SELECT users.id, users.created_at, COUNT(*), SUM(run.candidates), SUM(run.cost_pico),
        MAX(run.candidates), MAX(run.started_at)
    FROM telemetry_runs run JOIN users ON users.id = run.user_ref
    GROUP BY users.id, users.created_at
"""


def _times(stages: list[Row], seconds: float) -> Iterator[Row]:
    """Yield the rows of the stages' own times, one stage after the other."""
    begin, whole = 0.03, sum(stage["calls"] for stage in stages)
    for stage in stages:
        end = begin + 0.95 * stage["calls"] / whole
        opened, closed = int(begin * seconds * 1e6), int(end * seconds * 1e6)
        names = ("operation", "model", "service_tier", "price_version", "price_source")
        row = {name: 0 if isinstance(value, int) else value for name, value in stage.items()}
        yield (
            row
            | dict.fromkeys(names, "")
            | {
                "duration_us": closed - opened,
                "opened_us": opened,
                "closed_us": closed,
            }
        )
        begin = end


def _run_id(number: int) -> str:
    """Return the id of a run, in no order, like real ones."""
    return hashlib.blake2b(number.to_bytes(8), digest_size=16).hexdigest()


def write(engine: sa.Engine, history: History, report: Any = lambda done: None) -> None:
    """Write a history into a database that has none.

    Args:
        engine: with the tables of the screener and of telemetry.
        history: what happened.
        report: called with the number of analyses that are written.
    """
    names = ("users", "analyses", "telemetry_runs", *_PARTS.values(), "document_warnings")
    tables = {name: sa.Table(name, sa.MetaData(), autoload_with=engine) for name in names}
    with engine.begin() as connection:
        _insert(connection, tables["users"], list(history.users()))
    done = 0
    for jobs in _batches(history.jobs()):
        with engine.begin() as connection:
            _insert(connection, tables["analyses"], [job.analysis for job in jobs if job.analysis])
            _insert(connection, tables["telemetry_runs"], [job.run for job in jobs])
            for part, name in _PARTS.items():
                _insert(connection, tables[name], [row for job in jobs for row in getattr(job, part)])
            warnings = [job.warning for job in jobs if job.warning]
            _insert(connection, tables["document_warnings"], warnings)
        done += len(jobs)
        report(done)
    with engine.begin() as connection:
        connection.execute(sa.text(_USERS))
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))


def _batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    if not rows:
        return
    driver: Any = connection.connection.dbapi_connection
    if not hasattr(driver.cursor(), "copy_expert"):
        connection.execute(table.insert(), list(rows))
        return
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row.values()] for row in rows)
    text.seek(0)
    columns = ", ".join(rows[0])
    copy = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT csv, NULL '{_NULL}')"
    driver.cursor().copy_expert(copy, text)


_NULL: Final = "\\N"


def _cell(value: Any) -> Any:
    return _NULL if value is None else value


def _at(day: date, hour: float) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(hours=hour)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.screener.history", description=__doc__)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--analyses", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents-days", type=int, default=0, help="with documents, of so many last days")
    given = parser.parse_args()
    engine = sa.create_engine(given.database_url, poolclass=sa.NullPool)
    today, days = datetime.now(UTC).date(), given.documents_days
    history = History(given.analyses, today, given.seed, documents_days=days)
    with Steps(Console(highlight=False)) as steps:
        with steps.step(f"{given.analyses:,} analyses", given.analyses) as report:
            write(engine, history, report)


if __name__ == "__main__":
    main()
