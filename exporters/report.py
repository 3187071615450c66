"""The figures of the admin pages: totals, days, stages, users, the latest jobs and those that failed.

Everything comes from the views, so that it agrees with dashboards and exports.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from telemetry.conventions import COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE, UNKNOWN
from telemetry.settings import Settings

from .answers import answers
from .database import create_engine, transaction
from .days import Day, days
from .schema import counters

IMPORT: Final = "import"
"""Kind of the jobs taken over from history: nobody saw what they cost, nor their failures."""
LATEST: Final = 20
MOST_ACTIVE: Final = 10
SCORED_JOBS: Final = 50
"""Jobs that the health score looks at."""
BINS: Final = (
    ("1-10", 1, 10),
    ("11-50", 11, 50),
    ("51-100", 51, 100),
    ("101-200", 101, 200),
    ("200+", 201, None),
)
SLOW_SECONDS: Final = 5.0
MOST_RETRIES: Final = 5
MOST_FALLBACKS: Final = 3

Row = Mapping[str, Any]

_jobs: Final = sa.table(
    "telemetry_jobs",
    *map(
        sa.column, ("run_id", "kind", "analysis_ref", "user_ref", "status", "started_at", "duration_seconds")
    ),
    *map(sa.column, ("candidates", "criteria", "jd_characters", "resume_characters", "n_documents")),
    *map(sa.column, ("n_scored", "n_failed", "resume_characters_min", "resume_characters_max", "score_avg")),
    *map(
        sa.column,
        ("api_calls", "rate_limit_hits", "cost_pico", "cost_complete", "error_types", "error_count"),
    ),
    *map(sa.column, ("exceeded_resume_limit", "user_chose_override")),
)
_spend: Final = sa.table(
    "telemetry_run_spend",
    *map(sa.column, ("run_id", "kind", "status", "user_ref", "analysis_ref", "started_at", "candidates")),
    *map(sa.column, ("cost_pico", "cost_complete")),
)
"""All runs, those before and after an analysis included."""
_is_job: Final = _spend.c.kind.in_(("analysis", "import"))
_stages: Final = sa.table(
    "telemetry_stages",
    *map(sa.column, ("run_id", "kind", "started_at", "stage", "operation", "calls", "errors", "cost_pico")),
    sa.column("duration_seconds"),
)


@dataclass(frozen=True, slots=True)
class Range:
    """Mean, smallest and largest of something; None where nothing is known."""

    mean: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a period, or of one analysis."""

    analysis_id: int | None
    """None: of all that began in the period."""
    first: date | None
    """None for one analysis: it counts whenever it was."""
    last: date | None
    jobs: int
    users: int
    candidates: int
    completed: int
    failed: int
    unknown: int
    """Jobs of history whose ending nobody recorded."""
    success_rate: float | None
    """Share of the jobs that ended before telemetry's eyes: a failure of history leaves no trace."""
    cost_dollars: float | None
    """None where telemetry saw no run: what history cost is unknown."""
    cost_is_complete: bool
    """Whether the cost of every run is known; else the sum is a lower bound."""
    cost_per_job: float | None
    """Of the jobs that telemetry saw, as is the next."""
    cost_per_candidate: float | None
    seconds: Range
    batch: Range
    batch_median: float | None
    batches: dict[str, int]
    """Jobs by number of candidates."""
    jd_characters: Range
    resume_characters: Range
    over_limit: int
    overrides: int
    override_rate: float | None
    advice: str
    response_seconds: float | None
    """Mean time of an OpenAI call, retries included."""
    health_score: float | None
    """Share of the last 50 jobs without an issue."""
    health: str
    """good, fair or poor."""
    per_day: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    active_users: list[dict[str, Any]] = field(default_factory=list)
    latest: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> str:
        """Return it as one JSON object."""
        return json.dumps(asdict(self), default=str, ensure_ascii=False, indent=2)


def report(
    settings: Settings, last_days: int, *, failed: bool = False, analysis_id: int | None = None
) -> Report:
    """Return the figures of the last so many days, today included.

    They may be as old as TELEMETRY_CACHE_SECONDS.

    Args:
        settings: name the database and the time zone.
        last_days: 1 is today.
        failed: list the latest failed jobs instead of the latest.
        analysis_id: only the jobs of this analysis, whenever they were.

    Raises:
        ValueError: for a URL that cannot be used.
        LookupError: when there is no run of that analysis.
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    zone = ZoneInfo(settings.timezone)
    today = Day.today(zone)
    first = Day.of(today.date - timedelta(days=last_days - 1), zone)
    asked = (first, today, zone, failed, analysis_id)
    question = ("report", settings.database_url, *asked)
    return answers.get(question, settings.cache_seconds, lambda: _report(settings, *asked))


def _report(
    settings: Settings, first: Day, today: Day, zone: ZoneInfo, failed: bool, analysis_id: int | None
) -> Report:
    engine = create_engine(settings.database_url, for_reading=True)
    try:
        with transaction(engine) as connection:
            return _Figures(connection, first, today, zone, failed, analysis_id).report()
    finally:
        engine.dispose()


@dataclass(slots=True)
class _Figures:
    """Asks the views about a period."""

    connection: Connection
    first: Day
    today: Day
    zone: ZoneInfo
    only_failed: bool
    analysis_id: int | None

    def report(self) -> Report:
        totals, sizes, money = self._totals(), self._sizes(), self._money()
        cost = _dollars(money["pico"])
        of_all = self.analysis_id is None
        if not of_all and not money["runs"]:
            raise LookupError(f"there is no run of analysis {self.analysis_id}")
        ended = totals["seen_completed"] + totals["seen_failed"]
        rate = totals["overrides"] / totals["over_limit"] if totals["over_limit"] else None
        score = self._health_score()
        return Report(
            analysis_id=self.analysis_id,
            first=self.first.date if of_all else None,
            last=self.today.date if of_all else None,
            jobs=totals["jobs"],
            users=totals["users"],
            candidates=int(totals["candidates"] or 0),
            completed=totals["completed"],
            failed=totals["failed"],
            unknown=totals["unknown"],
            success_rate=totals["seen_completed"] / ended if ended else None,
            cost_dollars=cost,
            cost_is_complete=not money["incomplete"],
            cost_per_job=_each(cost, totals["seen_jobs"]),
            cost_per_candidate=_each(cost, totals["seen_candidates"]),
            seconds=_range(totals, "seconds"),
            batch=_range(totals, "batch"),
            batch_median=_median(sizes),
            batches=_bins(sizes),
            jd_characters=_range(totals, "jd"),
            resume_characters=_resumes(totals),
            over_limit=totals["over_limit"],
            overrides=totals["overrides"],
            override_rate=rate,
            advice=_advice(rate),
            response_seconds=self._response(),
            health_score=score,
            health="" if score is None else "good" if score >= 0.8 else "fair" if score >= 0.6 else "poor",
            per_day=self._per_day(),
            stages=self._by_stage(),
            active_users=self._active_users(),
            latest=self._latest(),
        )

    def _chosen(self, view: sa.TableClause = _jobs) -> sa.ColumnElement[bool]:
        if self.analysis_id is not None:
            return view.c.analysis_ref == self.analysis_id
        return _between(view.c.started_at, self.first.start, self.today.end)

    def _totals(self) -> Row:
        j = _jobs.c
        seen = j.kind != IMPORT
        completed = j.status.in_((COMPLETED, PARTIAL_FAILURE))
        failed = j.status.in_((FAILED, INTERRUPTED))
        query = sa.select(
            sa.func.count().label("jobs"),
            sa.func.count(sa.distinct(j.user_ref)).label("users"),
            sa.func.sum(j.candidates).label("candidates"),
            sa.func.count(sa.case((completed, 1))).label("completed"),
            sa.func.count(sa.case((failed, 1))).label("failed"),
            sa.func.count(sa.case((j.status == UNKNOWN, 1))).label("unknown"),
            sa.func.count(sa.case((seen, 1))).label("seen_jobs"),
            sa.func.sum(sa.case((seen, j.candidates))).label("seen_candidates"),
            sa.func.count(sa.case((sa.and_(seen, completed), 1))).label("seen_completed"),
            sa.func.count(sa.case((sa.and_(seen, failed), 1))).label("seen_failed"),
            sa.func.count(sa.case((j.exceeded_resume_limit, 1))).label("over_limit"),
            sa.func.count(sa.case((sa.and_(j.exceeded_resume_limit, j.user_chose_override), 1))).label(
                "overrides"
            ),
            *_aggregates("seconds", j.duration_seconds),
            *_aggregates("batch", j.candidates),
            *_aggregates("jd", j.jd_characters),
            sa.func.sum(j.resume_characters).label("resume_sum"),
            sa.func.sum(sa.case((j.resume_characters.is_not(None), j.n_documents))).label("resumes"),
            sa.func.min(j.resume_characters_min).label("resume_least"),
            sa.func.max(j.resume_characters_max).label("resume_most"),
        ).where(self._chosen())
        return dict(self.connection.execute(query).mappings().one())

    def _sizes(self) -> list[tuple[int, int]]:
        """Return how many jobs had how many candidates, by number of candidates."""
        query = (
            sa.select(_jobs.c.candidates, sa.func.count())
            .where(self._chosen(), _jobs.c.candidates > 0)
            .group_by(_jobs.c.candidates)
            .order_by(_jobs.c.candidates)
        )
        return [(size, count) for size, count in self.connection.execute(query)]

    def _money(self) -> Row:
        """Return what all runs of the period cost, those before and after an analysis included."""
        r = _spend.c
        query = sa.select(
            sa.func.count().label("runs"),
            sa.func.sum(r.cost_pico).label("pico"),
            sa.func.count(sa.case((sa.not_(r.cost_complete), 1))).label("incomplete"),
        ).where(self._chosen(_spend))
        row = self.connection.execute(query).mappings().one()
        return {**row, "pico": row["pico"] if row["runs"] else 0}

    def _response(self) -> float | None:
        s = _stages.c
        query = sa.select(sa.func.sum(s.duration_seconds), sa.func.sum(s.calls)).where(
            s.operation != "", self._of_stages()
        )
        seconds, calls = self.connection.execute(query).one()
        return float(seconds) / int(calls) if calls else None

    def _of_stages(self) -> sa.ColumnElement[bool]:
        if self.analysis_id is None:
            return _between(_stages.c.started_at, self.first.start, self.today.end)
        return _stages.c.run_id.in_(sa.select(_spend.c.run_id).where(self._chosen(_spend)))

    def _by_stage(self) -> list[dict[str, Any]]:
        s = _stages.c
        query = (
            sa.select(
                s.stage,
                sa.func.sum(s.calls).label("calls"),
                sa.func.sum(s.errors).label("errors"),
                sa.func.sum(s.cost_pico).label("pico"),
                sa.func.sum(sa.case((s.operation == "", s.duration_seconds), else_=0)).label("seconds"),
            )
            .where(self._of_stages())
            .group_by(s.stage)
            .order_by(sa.desc("pico"), s.stage)
        )
        return [
            {
                "stage": row["stage"],
                "calls": int(row["calls"]),
                "errors": int(row["errors"]),
                "cost_dollars": int(row["pico"]) / 1e12,
                "seconds": float(row["seconds"]),
            }
            for row in self.connection.execute(query).mappings()
        ]

    def _per_day(self) -> list[dict[str, Any]]:
        if self.analysis_id is not None:
            return []
        return [self._day(day) for day in days(self.first.date, self.today.date, self.zone)]

    def _day(self, day: Day) -> dict[str, Any]:
        r = _spend.c
        query = sa.select(
            sa.func.count(sa.case((_is_job, 1))),
            sa.func.count(sa.case((sa.and_(_is_job, r.status.in_((FAILED, INTERRUPTED))), 1))),
            sa.func.count(),
            sa.func.sum(r.cost_pico),
        ).where(_between(r.started_at, day.start, day.end))
        jobs, failed, runs, pico = self.connection.execute(query).one()
        cost = _dollars(pico if runs else 0)
        return {"day": day.date, "jobs": jobs, "failed": failed, "cost_dollars": cost}

    def _active_users(self) -> list[dict[str, Any]]:
        r = _spend.c
        query = (
            sa.select(
                r.user_ref,
                sa.func.count(sa.case((_is_job, 1))).label("jobs"),
                sa.func.sum(sa.case((_is_job, r.candidates))).label("candidates"),
                sa.func.sum(r.cost_pico).label("pico"),
            )
            .where(self._chosen(_spend), r.user_ref.is_not(None))
            .group_by(r.user_ref)
            .order_by(sa.desc("jobs"), r.user_ref)
            .limit(MOST_ACTIVE)
        )
        return [
            {
                "user": row["user_ref"],
                "jobs": row["jobs"],
                "candidates": int(row["candidates"] or 0),
                "cost_dollars": _dollars(row["pico"]),
            }
            for row in self.connection.execute(query).mappings()
        ]

    def _latest(self) -> list[dict[str, Any]]:
        j = _jobs.c
        query = sa.select(_jobs).where(self._chosen()).order_by(j.started_at.desc(), j.run_id).limit(LATEST)
        if self.only_failed:
            query = query.where(j.status.in_((FAILED, INTERRUPTED, PARTIAL_FAILURE)))
        return [_job(dict(row)) for row in self.connection.execute(query).mappings()]

    def _health_score(self) -> float | None:
        """Return the share of the last jobs without an issue; history does not tell."""
        j = _jobs.c
        query = (
            sa.select(_jobs)
            .where(self._chosen(), j.kind == "analysis", j.status != "running")
            .order_by(j.started_at.desc(), j.run_id)
            .limit(SCORED_JOBS)
        )
        jobs = [dict(row) for row in self.connection.execute(query).mappings()]
        if not jobs:
            return None
        ids = [job["run_id"] for job in jobs]
        counted = self._counted(ids)
        means = self._responses(ids)
        return sum(not _has_issue(job, counted, means) for job in jobs) / len(jobs)

    def _counted(self, ids: Sequence[str]) -> dict[tuple[str, str], int]:
        query = sa.select(counters).where(counters.c.run_id.in_(ids))
        return {(row.run_id, row.name): row.value for row in self.connection.execute(query)}

    def _responses(self, ids: Sequence[str]) -> dict[str, float]:
        s = _stages.c
        query = (
            sa.select(s.run_id, sa.func.sum(s.duration_seconds), sa.func.sum(s.calls))
            .where(s.run_id.in_(ids), s.operation != "")
            .group_by(s.run_id)
        )
        return {
            run_id: float(seconds) / int(calls)
            for run_id, seconds, calls in self.connection.execute(query)
            if calls
        }


def _has_issue(job: Row, counted: Mapping[tuple[str, str], int], means: Mapping[str, float]) -> bool:
    """Say whether a job failed, needed many retries or fallbacks, or was slow."""
    run_id, candidates = job["run_id"], job["candidates"]
    seconds = float(job["duration_seconds"] or 0)
    return (
        job["status"] in (FAILED, INTERRUPTED)
        or counted.get((run_id, "app_retries"), 0) > MOST_RETRIES
        or counted.get((run_id, "fallbacks"), 0) > MOST_FALLBACKS
        or means.get(run_id, 0.0) > SLOW_SECONDS
        or bool(candidates and seconds / candidates > SLOW_SECONDS)
    )


def _job(row: Row) -> dict[str, Any]:
    errors: Iterable[Row] = json.loads(row["error_types"] or "[]")
    return {
        "run_id": row["run_id"],
        "analysis": row["analysis_ref"],
        "user": row["user_ref"],
        "status": row["status"],
        "started_at": _moment(row["started_at"]),
        "seconds": None if row["duration_seconds"] is None else float(row["duration_seconds"]),
        "candidates": row["candidates"],
        "done": None if row["n_scored"] is None else row["n_scored"] + row["n_failed"],
        "score": None if row["score_avg"] is None else float(row["score_avg"]),
        "calls": row["api_calls"],
        "cost_dollars": _dollars(row["cost_pico"]),
        "cost_is_complete": bool(row["cost_complete"]),
        "errors": {f"{error['type']} in {error['stage']}": error["count"] for error in errors},
    }


def _dollars(pico: Any) -> float | None:
    """Return a sum of the database's in dollars; None where nothing is known."""
    return None if pico is None else int(pico) / 1e12


def _each(dollars: float | None, number: Any) -> float | None:
    return dollars / int(number) if dollars is not None and number else None


def _moment(value: Any) -> datetime:
    """Return a time; a view of SQLite's tells text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _aggregates(name: str, column: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
    return [
        sa.func.avg(column).label(f"{name}_mean"),
        sa.func.min(column).label(f"{name}_least"),
        sa.func.max(column).label(f"{name}_most"),
    ]


def _range(row: Row, name: str) -> Range:
    values = (row[f"{name}_{part}"] for part in ("mean", "least", "most"))
    return Range(*(None if value is None else float(value) for value in values))


def _resumes(row: Row) -> Range:
    mean = int(row["resume_sum"]) / int(row["resumes"]) if row["resumes"] else None
    least, most = row["resume_least"], row["resume_most"]
    return Range(mean, None if least is None else float(least), None if most is None else float(most))


def _median(sizes: Sequence[tuple[int, int]]) -> float | None:
    """Return the median of sizes that come with how often each is there."""
    total = sum(count for _, count in sizes)
    if not total:
        return None
    middle = [(total - 1) // 2, total // 2]
    found, passed = [], 0
    for size, count in sizes:
        found += [size for place in middle if passed <= place < passed + count]
        passed += count
    return sum(found) / 2


def _bins(sizes: Sequence[tuple[int, int]]) -> dict[str, int]:
    return {
        name: sum(count for size, count in sizes if size >= least and (most is None or size <= most))
        for name, least, most in BINS
    }


def _advice(rate: float | None) -> str:
    if rate is None:
        return ""
    if rate >= 0.5:
        return "Half of the users over the limit override it: raise it."
    if rate >= 0.25:
        return "Many users over the limit override it: consider raising it."
    return "Few users override the limit: it is right."


def _between(column: sa.ColumnElement[Any], start: datetime, end: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        column >= sa.bindparam(None, start, type_=sa.DateTime()),
        column < sa.bindparam(None, end, type_=sa.DateTime()),
    )
