"""T2 and T3: what the host's own rows show of its runs.

What they are to show is computed before any row of the host's is locked, and noted in our own tables after it
is written (:mod:`.host_rows`). Only columns that our migration added are written, and a row is written only
while it is plainly the one the run was linked to: SQLite gives the ids of deleted rows to new ones.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial, reduce
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.metrics.totals import Totals
from exporters.sql.database.engine import reading, transaction
from exporters.sql.database.fitting import fit
from exporters.sql.database.statements import GIVEN, as_json, insert, recordset, upsert
from exporters.sql.host.columns import Writable as Writable
from exporters.sql.host.shape import has_table
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from exporters.sql.storage import archived
from exporters.sql.storage import warnings as warning_storage
from exporters.sql.storage.run_rows import error_details
from telemetry.conventions import DUPLICATE, FAILED, INTERRUPTED, RUNNING, Stage
from telemetry.pricing.prices import to_dollars

from .files import FileRow, Matched, match
from .host_rows import Basis, Change, Condition, More, Query, Written, look, write, write_within

SKEW: Final = timedelta(minutes=5)
"""How far the host's clock may be ahead of ours when its row is compared with the end of a run."""
PATIENCE: Final = timedelta(days=1)
"""How long after a run its files may still be stored."""
FILES_AT_ONCE: Final = 500
"""Files that are written under one lock."""
JOBS: Final = ("analysis", "import")
"""Kinds of runs that are an analysis."""
COPIED: Final = ("exceeded_resume_limit", "user_chose_override")
"""Columns of the host's own that views need, and may not read from its table."""

_IDENTITY: Final = ("user_id", "created_at")
"""Columns that tell whether a run is an analysis's own."""

_host = tables.host_tables(sa.MetaData())
_files_table = _host.candidate_files

Row = Mapping[str, Any]
"""A row of one of our tables."""
Run = Row
"""A row of telemetry_runs."""


class Projection(enum.Enum):
    """How an attempt to project ended."""

    DONE = "done"
    BUSY = "busy"
    """The host or another writer holds the row: try again soon."""
    MISSING = "missing"
    """The row is not there (yet): try again, ever more rarely."""
    FILES_PENDING = "files_pending"
    """The analysis is up to date; its files are not stored yet."""


def project(
    engine: Engine,
    analysis_id: int,
    writable: Writable,
    key: bytes,
    totals: Totals,
    *,
    take_back: bool = False,
) -> Projection:
    """T2: bring the ``analyses`` row and its ``candidate_files`` up to date with the runs linked to it.

    Args:
        engine: the writer's.
        analysis_id: the row.
        writable: the columns we added.
        key: secret of the documents' hashes.
        totals: counts what had to be made to fit.
        take_back: whether it is only tried.
    """
    with reading(engine) as connection:
        plan = _plan(connection, analysis_id, writable, key, totals)
    if engine.dialect.name != "postgresql":
        with _trial(engine, take_back) as connection:
            written = write_within(connection, plan.basis, plan.change) if plan.change else None
            return Projection.BUSY if plan.change and written is None else _note(connection, plan, written)
    written = _write_in_parts(engine, plan, take_back=take_back) if plan.change else None
    if plan.change and written is None:
        return Projection.BUSY
    with _trial(engine, take_back) as connection:
        return _note(connection, plan, written)


def refresh_user(
    engine: Engine, user_id: int, writable: Writable, totals: Totals, *, take_back: bool = False
) -> Projection:
    """T3: recompute the totals of one ``users`` row; ``take_back`` if it is only tried."""
    with reading(engine) as connection:
        plan = _plan_user(connection, user_id, writable, totals)
    if engine.dialect.name != "postgresql":
        with _trial(engine, take_back) as connection:
            if plan.change and write_within(connection, plan.basis, plan.change) is None:
                return Projection.BUSY
            return _note_user(connection, plan)
    if plan.change and write(engine, plan.basis, plan.change, take_back=take_back) is None:
        return Projection.BUSY
    with _trial(engine, take_back) as connection:
        return _note_user(connection, plan)


@contextmanager
def _trial(engine: Engine, take_back: bool) -> Iterator[Connection]:
    """Open a transaction, which is rolled back at its end if it is only tried."""
    with suppress(_TakenBack), transaction(engine) as connection:
        yield connection
        if take_back:
            raise _TakenBack


class _TakenBack(Exception):
    """Ends a trial."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to become of an ``analyses`` row."""

    basis: Basis
    change: Change | None
    """None where nothing is written."""
    row: Any
    shown_runs: Sequence[Run] = ()
    """Runs that the row shows then."""
    gone: Sequence[Run] = ()
    """Runs that lose their link: the row is gone, or was never theirs."""
    is_missing: bool = False
    missing_files: int = 0
    """Documents whose files are not stored yet, where no file is."""
    n_stored: int = 0
    """Files that were stored when it was made."""


def _plan(connection: Connection, analysis_id: int, writable: Writable, key: bytes, totals: Totals) -> _Plan:
    table = _host.analyses
    query = _runs_and_owner(writable.dialect, *(writable.column(table, name) for name in _IDENTITY))
    seen = look(connection, query, analysis_id)  # before all else: what changes from here on is noticed
    linked = _rows(
        connection, sa.select(runs).where(runs.c.analysis_ref == analysis_id).order_by(runs.c.run_id)
    )
    row = _analysis(connection, analysis_id, writable)
    news = max((run["seen_at"] for run in linked if run["seen_at"]), default=None)
    basis = Basis(table, analysis_id, query, seen, news)
    if row is None:
        gone = [run for run in linked if run["analysis_seen_at"] is not None]
        return _Plan(basis, None, None, gone=gone, is_missing=len(gone) < len(linked))
    ended = [run for run in linked if run["status"] != RUNNING or run["projected_version"]]
    shown_runs = [run for run in ended if _belongs(run, row)]
    gone = [run for run in ended if not _belongs(run, row)]
    if not shown_runs:
        return _Plan(basis, None, row, gone=gone)
    attached = warning_storage.attached(analysis_id, warning_storage.loose(connection, shown_runs))
    if row.has_archived:  # its other runs are not here to be summed: the row stays as it is
        return _Plan(basis, Change({}, more=attached), row, shown_runs, gone)
    documents = _documents(connection, shown_runs)
    values = analysis_values(shown_runs, _usage(connection, shown_runs), documents)
    files, names = _files(connection, analysis_id, writable), partial(writable.only, _files_table)
    changes = [
        {"row_id": found.row_id, **fit(_files_table, names(_file_values(found)), totals)}
        for found in match(files, documents, key)
    ]
    waiting = 0 if files or not writable.has_files else sum(row["outcome"] != DUPLICATE for row in documents)
    change = Change(fit(table, writable.only(table, values), totals), changes, attached)
    return _Plan(basis, change, row, shown_runs, gone, missing_files=waiting, n_stored=len(files))


@cache
def _runs_and_owner(dialect: str, *owner: sa.ColumnElement[Any] | None) -> Query:
    """Return the query of what the values of a row depend on: its runs, and whose it is."""
    known = [column for column in owner if column is not None]
    return partial(_runs_and, dialect, known)


def _runs_and(dialect: str, owner: Sequence[sa.ColumnElement[Any]], row_id: sa.ColumnElement[int]) -> Any:
    shown = sa.or_(runs.c.status != RUNNING, runs.c.projected_version > 0)
    linked = sa.and_(runs.c.analysis_ref == row_id, shown)
    texts = [sa.func.coalesce(sa.cast(each, sa.Text()), "") for each in owner]
    return sa.select(_joined([_versions(linked, dialect), *texts])).where(_host.analyses.c.id == row_id)


def _versions(which: sa.ColumnElement[bool], dialect: str) -> sa.ColumnElement[Any]:
    """Return one value for the versions of some runs."""
    parts: list[sa.ColumnElement[Any]] = [
        runs.c.run_id,
        sa.cast(runs.c.version, sa.Text()),
        sa.cast(runs.c.analysis_gone, sa.Text()),
    ]
    each = sa.select(_joined(parts).label("run")).where(which).order_by(runs.c.run_id).subquery()
    if dialect == "postgresql":
        hashes = sa.func.sum(sa.func.hashtextextended(each.c.run, 0))
        parts = [sa.cast(sa.func.count(), sa.Text()), sa.func.coalesce(sa.cast(hashes, sa.Text()), "")]
        return sa.select(_joined(parts)).select_from(each).scalar_subquery()
    return sa.select(sa.func.coalesce(sa.func.group_concat(each.c.run), "")).scalar_subquery()


def _joined(parts: Sequence[Any]) -> sa.ColumnElement[Any]:
    return reduce(lambda one, other: one.concat(sa.literal(" ", sa.Text())).concat(other), parts)


def _write_in_parts(engine: Engine, plan: _Plan, *, take_back: bool) -> Written | None:
    """Write the row, and its files in parts: none of them is held for long."""
    assert plan.change is not None
    files, free, stored = plan.change.files, 0, 0
    for at in range(0, max(len(files), 1), FILES_AT_ONCE):
        change = replace(plan.change, files=files[at : at + FILES_AT_ONCE])
        change = change if at == 0 else Change({}, change.files)
        written = write(engine, plan.basis, change, take_back=take_back)
        if written is None:
            return None
        free, stored = free + written.free, written.stored
    return Written(free, stored)


def _note(connection: Connection, plan: _Plan, written: Written | None) -> Projection:
    """Note what the row shows now."""
    _let_go(connection, plan.gone)
    if plan.row is None or written is None or plan.change is None:
        return Projection.MISSING if plan.is_missing else Projection.DONE
    late = max(written.stored - plan.n_stored, 0) if plan.change.files else 0
    pending = plan.missing_files + late + len(plan.change.files) - written.free
    if not _remember(connection, plan.shown_runs, plan.row, pending):
        return Projection.BUSY
    return Projection.FILES_PENDING if pending else Projection.DONE


@dataclass(frozen=True, slots=True)
class _UserPlan:
    """What is to become of a ``users`` row."""

    basis: Basis
    change: Change | None
    """None where the row is not there."""
    behind: Sequence[Row]
    """Ended runs whose newest version only the new totals hold."""


def _plan_user(connection: Connection, user_id: int, writable: Writable, totals: Totals) -> _UserPlan:
    table = _host.users
    row = connection.execute(
        sa.select(*writable.read(table, "id", "created_at")).where(table.c.id == user_id)
    ).first()
    behind = _unsummed(connection, user_id)
    person, is_known, seen = _totals_of(connection, user_id)
    news = max((run["seen_at"] for run in behind if run["seen_at"]), default=None)
    basis = Basis(table, user_id, _totals_text, seen, news)
    if row is None:
        return _UserPlan(basis, None, behind)
    values = fit(table, writable.only(table, _user_values(person, is_known)), totals)
    kept = {**person, "created_at": _naive(row.created_at)}
    more = More(tables.users, [kept], _keep, lambda connection: upsert(connection, tables.users, [kept]))
    return _UserPlan(basis, Change(values, more=more), behind)


def _totals_text(user_id: sa.ColumnElement[int]) -> Any:
    """Return the totals of a user as one text: as long as they are the same, so is the row."""
    return sa.select(_text(_totals_query(user_id).subquery()))


def _text(found: sa.Subquery) -> sa.ColumnElement[Any]:
    return _joined([sa.func.coalesce(sa.cast(column, sa.Text()), "") for column in found.c])


def _keep(given: Any, unchanged: Condition) -> Any:
    """Return the statement that keeps the totals of a user in our own table."""
    names = [column.name for column in given.c]
    new = insert("postgresql", tables.users).from_select(names, sa.select(given).where(unchanged))
    changes = {name: new.excluded[name] for name in names if name != "user_ref"}
    return new.on_conflict_do_update(index_elements=["user_ref"], set_=changes)


def _note_user(connection: Connection, plan: _UserPlan) -> Projection:
    """Note which runs the totals hold."""
    if plan.change is None:
        connection.execute(tables.users.delete().where(tables.users.c.user_ref == plan.basis.row_id))
    _remember_summed(connection, {run["run_id"]: run["version"] for run in plan.behind})
    return Projection.MISSING if plan.change is None else Projection.DONE


def lagging_analyses(engine: Engine) -> list[int]:
    """Return the analyses that do not show the newest state of their runs, and can.

    Every process asks this when it starts, and after each commit of the host's while it waits for something:
    a row that is not there, or files that are not stored, cost no attempt until they are. Files that were
    not stored a day after their run ended are not asked for again.
    """
    lately = datetime.now(UTC).replace(tzinfo=None) - PATIENCE
    is_there = _has_one(_host.analyses.c.id == runs.c.analysis_ref)
    are_stored = _has_one(_host.candidate_files.c.analysis_id == runs.c.analysis_ref)
    behind = sa.select(runs.c.analysis_ref).where(
        runs.c.projected_version < runs.c.version,
        runs.c.analysis_ref.is_not(None),
        runs.c.analysis_gone.is_(False),
        sa.or_(runs.c.status != RUNNING, runs.c.projected_version > 0),
        sa.or_(is_there, runs.c.analysis_seen_at.is_not(None)),
    )
    without_files = sa.select(runs.c.analysis_ref).where(
        runs.c.files_pending > 0, runs.c.ended_at > lately, runs.c.analysis_ref.is_not(None), are_stored
    )
    with reading(engine) as connection:
        has_files = has_table(connection, _host.candidate_files.name)
        query = sa.union(behind, without_files) if has_files else behind.distinct()
        return list(connection.execute(query).scalars())


def _has_one(mine: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Say whether the host has such a row, looked up for each run that asks.

    For EXISTS, PostgreSQL would read the whole table: it takes a third of all runs for lagging behind.
    """
    return sa.select(sa.literal(1)).where(mine).limit(1).correlate(runs).scalar_subquery().is_not(None)


def lagging_users(engine: Engine) -> list[int]:
    """Return the users whose totals lack the newest state of a run that ended."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.user_ref).where(behind, runs.c.user_ref.is_not(None), runs.c.status != RUNNING)
    with reading(engine) as connection:
        return list(connection.execute(query.distinct()).scalars())


def _unsummed(connection: Connection, user_id: int) -> Sequence[Row]:
    """Return the user's ended runs whose newest version only the totals about to be computed will hold."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.run_id, runs.c.version, runs.c.seen_at).where(behind, runs.c.user_ref == user_id)
    return [dict(row) for row in connection.execute(query.where(runs.c.status != RUNNING)).mappings()]


def _remember_summed(connection: Connection, seen: Mapping[str, int]) -> None:
    """Note it for the runs that are free.

    One that another writer is at work on stays behind, and is summed again.
    """
    free = _free(connection, seen)
    _update_runs(
        connection, [{"key": run_id, "user_version": seen[run_id]} for run_id in free], "user_version"
    )


def _free(connection: Connection, run_ids: Iterable[str]) -> list[str]:
    """Lock those of our runs that nobody else has locked, in an order that all keep to."""
    wanted = sorted(run_ids)
    if not wanted or connection.dialect.name == "sqlite":
        return wanted
    query = sa.select(runs.c.run_id).where(runs.c.run_id.in_(wanted)).order_by(runs.c.run_id)
    return list(connection.scalars(query.with_for_update(skip_locked=True)))


def _analysis(connection: Connection, analysis_id: int, writable: Writable) -> Any:
    table = _host.analyses
    columns = writable.read(table, "user_id", "created_at", *COPIED)
    has_archived = archived.of_analysis(connection, analysis_id, writable.column(table, "created_at"))
    query = sa.select(*columns, has_archived.label("has_archived")).where(table.c.id == analysis_id)
    return connection.execute(query).first()


def _belongs(run: Run, row: Any) -> bool:
    if run["analysis_gone"]:
        return False
    created = _naive(row.created_at)
    if run["analysis_created_at"] is not None and created is not None:
        return bool(run["analysis_created_at"] == created)
    if None not in (run["user_ref"], row.user_id) and run["user_ref"] != row.user_id:
        return False
    ended = _latest_end(run)
    return ended is None or created is None or created <= ended + SKEW


def _latest_end(run: Run) -> datetime | None:
    """Return when a run ended, at the latest; None when that is not known.

    A clock that was set forward in mid-run makes the end that follows from its start too early: the database
    has heard of it later. Of one whose process died it may hear days after, when SQLite has given the id of
    its row to another.
    """
    ended: datetime | None = run["ended_at"]
    heard: datetime | None = run["seen_at"]
    if ended is None or heard is None or run["status"] == INTERRUPTED:
        return ended
    return max(ended, heard)


def _naive(created: datetime | None) -> datetime | None:
    """Return a time of the host's as the naive UTC of our columns: its own column may carry a time zone."""
    return created.astimezone(UTC).replace(tzinfo=None) if created and created.tzinfo else created


def _let_go(connection: Connection, gone: Iterable[Run]) -> None:
    """Never project these again: what they were linked to is gone, or was never theirs."""
    for run in gone:
        change = {"analysis_gone": True, "projected_version": run["version"], "files_pending": 0}
        connection.execute(runs.update().where(runs.c.run_id == run["run_id"]).values(change))


def _remember(connection: Connection, shown_runs: Sequence[Run], row: Any, pending: int) -> bool:
    """Note what the row shows; return False where another writer was at work on a run."""
    shown = {"analysis_created_at": _naive(row.created_at), **{name: getattr(row, name) for name in COPIED}}
    now = connection.scalar(sa.select(tables.utc_now()))
    changes = {}
    for run in shown_runs:
        change = {
            **shown,
            "analysis_seen_at": run["analysis_seen_at"] or now,
            "projected_version": run["version"],
            "files_pending": pending if run["kind"] == "analysis" else 0,
        }
        if any(run[name] != value for name, value in change.items()):
            changes[run["run_id"]] = {"key": run["run_id"], **change}
    free = _free(connection, changes)
    _update_runs(connection, [changes[run_id] for run_id in free], "projected_version")
    return len(free) == len(changes)


def _update_runs(connection: Connection, rows: list[dict[str, Any]], version: str) -> None:
    """Update runs by their ``key``, unless a newer ``version`` has been noted meanwhile."""
    if not rows:
        return
    names = [name for name in rows[0] if name != "key"]
    if connection.dialect.name == "postgresql":
        connection.execute(_bulk_update_of_runs(tuple(names), version), {GIVEN: as_json(rows)})
        return
    given = [{"key" if name == "key" else f"new_{name}": row[name] for name in row} for row in rows]
    connection.execute(_update_of_runs(tuple(names), version), given)


@cache
def _bulk_update_of_runs(names: tuple[str, ...], version: str) -> Any:
    types = {"key": runs.c.run_id.type, **{name: runs.c[name].type for name in names}}
    given = recordset(types, sa.bindparam(GIVEN, type_=sa.Text()))
    change = runs.update().where(runs.c.run_id == given.c.key, runs.c[version] <= given.c[version])
    return change.values({name: given.c[name] for name in names})


@cache
def _update_of_runs(names: tuple[str, ...], version: str) -> Any:
    change = runs.update().where(
        runs.c.run_id == sa.bindparam("key"), runs.c[version] <= sa.bindparam(f"new_{version}")
    )
    return change.values({name: sa.bindparam(f"new_{name}", type_=runs.c[name].type) for name in names})


def _usage(connection: Connection, mine: Iterable[Run]) -> list[Row]:
    table = tables.stage_usage
    query = sa.select(table).where(table.c.run_id.in_([run["run_id"] for run in mine]))
    return _rows(connection, query)


def analysis_values(mine: Sequence[Run], usage: Sequence[Row], documents: Iterable[Row]) -> dict[str, Any]:
    """Return what an ``analyses`` row shows.

    The sums of all its runs, and the documents and scores of the latest analysis.
    """
    return {**_run_values(mine), **_latest_values(mine, documents), **_stage_values(usage)}


def _run_values(mine: Sequence[Run]) -> dict[str, Any]:
    mine = _seen(mine)
    if not mine:
        return {}
    errors: Counter[tuple[str, str]] = Counter()
    for run in mine:
        for entry in json.loads(run["error_types"] or "[]"):
            errors[entry["stage"], entry["type"]] += entry["count"]
    return {
        "api_calls_made": _sum(mine, "api_calls"),
        "total_tokens_used": _sum(mine, "input_tokens") + _sum(mine, "output_tokens"),
        "total_api_cost": to_dollars(_cost(mine)),
        "rate_limit_hits": _sum(mine, "rate_limit_hits"),
        "rate_limit_retry_count": _sum(mine, "rate_limit_retries"),
        "error_count": _sum(mine, "error_count"),
        "error_details": error_details(errors.items()),
    }


def _latest_values(mine: Sequence[Run], documents: Iterable[Row]) -> dict[str, Any]:
    analyses = [run for run in mine if run["kind"] in JOBS]
    if not analyses:
        return {}
    latest = max(analyses, key=lambda run: (run["started_at"], run["run_id"]))
    described = _with_jd(latest, mine)
    cost = to_dollars(_cost(mine)) if _seen(mine) else None
    is_known = bool(_seen([latest])) and not (latest["unclosed"] or latest["shed"])
    texts = [
        row["characters"] for row in documents if row["run_id"] == latest["run_id"] and row["characters"]
    ]
    return {
        "status": latest["status"],
        "jd_file_size_bytes": described["jd_bytes"],
        "jd_character_count": described["jd_characters"],
        "total_resume_file_size_bytes": latest["resume_bytes"],
        "avg_resume_character_count": round(sum(texts) / len(texts)) if texts else _average(latest),
        "min_resume_character_count": latest["resume_characters_min"],
        "max_resume_character_count": latest["resume_characters_max"],
        "avg_overall_score": latest["score_avg"],
        "median_overall_score": latest["score_median"],
        "min_overall_score": latest["score_min"],
        "max_overall_score": latest["score_max"],
        **{column: latest[band] if is_known else None for column, band in _BANDS.items()},
        "cost_per_candidate": _each(cost, latest["candidates"]),
        "cost_per_criterion": _each(cost, latest["criteria"]),
    }


_BANDS: Final = {
    "candidates_above_70_percent": "above_70",
    "candidates_50_to_70_percent": "from_50_to_70",
    "candidates_below_50_percent": "below_50",
}


def _with_jd(latest: Run, mine: Sequence[Run]) -> Run:
    """Return the run that knows the job description: the analysis, or the last upload before it."""
    uploads = sorted(
        (run for run in mine if run["kind"] == "intake"), key=lambda run: run["started_at"], reverse=True
    )
    known = (run for run in (latest, *uploads) if (run["jd_bytes"], run["jd_characters"]) != (None, None))
    return next(known, latest)


def _seen(mine: Sequence[Run]) -> list[Run]:
    """Return the runs that telemetry saw: what the others cost is not known, which is not nothing."""
    return [run for run in mine if run["kind"] != "import"]


def _each(cost: Decimal | None, number: int | None) -> Decimal | None:
    return cost / number if cost is not None and number else None


def _average(taken_over: Run) -> int | None:
    """Return the mean length of the texts of a run that has no list of documents."""
    total, files = taken_over["resume_characters"], taken_over["n_documents"]
    return round(total / files) if total is not None and files else None


_STAGE_TIMES: Final = {
    Stage.EXTRACTION: "text_extraction_total_time",
    Stage.EMBEDDING: "embedding_generation_time",
    Stage.SIMILARITY: "similarity_calculation_time",
    Stage.DB_WRITE: "database_write_time",
    Stage.INSIGHTS: "insights_generation_time_seconds",
}


def _stage_values(usage: Sequence[Row]) -> dict[str, Any]:
    """Return times and costs by stage; a stage that did not happen stays NULL."""
    calls = [row for row in usage if row["operation"]]
    times: Counter[str] = Counter()
    for row in usage:
        if not row["operation"]:
            times[row["stage"]] += row["duration_us"]
    costs: Counter[str] = Counter()
    for row in calls:
        costs[row["stage"]] += _cost([row])
    insights = [row for row in calls if row["stage"] == Stage.INSIGHTS]
    return {
        **{column: _seconds(times.get(stage)) for stage, column in _STAGE_TIMES.items()},
        "insights_generated_count": sum(row["calls"] - row["errors"] for row in insights)
        if insights
        else None,
        "insights_tokens_used": _sum(insights, "input_tokens") + _sum(insights, "output_tokens")
        if insights
        else None,
        "insights_api_cost": to_dollars(costs[Stage.INSIGHTS]) if insights else None,
        "cost_breakdown": json.dumps(
            {stage: f"{to_dollars(pico):f}" for stage, pico in sorted(costs.items())}
        )
        if calls
        else None,
    }


def _files(connection: Connection, analysis_id: int, writable: Writable) -> list[FileRow]:
    if not writable.has_files:
        return []
    table = _files_table
    columns = (table.c.id, *writable.read(table, "file_name", "file_bytes"))
    query = sa.select(*columns).where(table.c.analysis_id == analysis_id).order_by(table.c.id)
    return [FileRow(*row) for row in connection.execute(query)]


def _documents(connection: Connection, mine: Iterable[Run]) -> list[Row]:
    table = tables.documents
    query = (
        sa.select(table)
        .where(table.c.run_id.in_([run["run_id"] for run in mine]))
        .order_by(table.c.run_id, table.c.document_key, table.c.ordinal)
    )
    return _rows(connection, query)


def _rows(connection: Connection, query: Any) -> list[Row]:
    """Return the rows of a query, made into dictionaries in half the time that their mappings take."""
    result = connection.execute(query)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]


def _file_values(found: Matched) -> dict[str, Any]:
    return {
        "resume_file_size_bytes": found.size,
        "resume_character_count": found.characters,
        "resume_file_type": found.type,
        "extraction_duration_seconds": _seconds(found.extraction_us),
        "analysis_duration_seconds": _seconds(found.analysis_us),
        "chunk_count": found.chunks,
        "processing_error": found.outcome == FAILED,
        "error_message": found.error_type,
    }


def totals_of(connection: Connection, user_id: int) -> dict[str, Any]:
    """Return the totals of a user, as our own table has them."""
    return _totals_of(connection, user_id)[0]


def _totals_of(connection: Connection, user_id: int) -> tuple[dict[str, Any], bool, str]:
    """Return the totals of a user, whether it is known what the user spent, and all that as one text.

    It is one statement: a run that is archived meanwhile counts once, here or there.
    """
    row = connection.execute(_totals_and_text(), {"user_id": user_id}).one()
    pico = int(row.pico) + (row.archived_cost_pico or 0)
    totals = {
        "user_ref": user_id,
        "jobs": row.jobs + (row.archived_jobs or 0),
        "candidates": int(row.candidates) + (row.archived_candidates or 0),
        "cost_pico": pico,
        "largest_batch": _largest(row.largest, row.archived_largest_batch),
        "last_run_at": _largest(row.last, row.archived_last_run_at),
    }
    # Of history nobody knows what it cost: it may be all that there is, or there may be nothing at all.
    return totals, pico > 0 or not row.all_runs or row.all_runs > row.history, row.text


@cache
def _totals_and_text() -> Any:
    found = _totals_query(sa.bindparam("user_id", type_=sa.BigInteger())).subquery()
    return sa.select(found, _text(found).label("text"))


def _totals_query(user_id: sa.ColumnElement[int]) -> Any:
    job = sa.and_(runs.c.kind.in_(JOBS), runs.c.status != RUNNING)
    candidates = sa.func.coalesce(runs.c.candidates, 0)
    cost = sa.func.coalesce(runs.c.repriced_pico, runs.c.cost_pico)
    sums = sa.select(
        sa.func.count(sa.case((job, 1))).label("jobs"),
        sa.func.coalesce(sa.func.sum(sa.case((job, candidates), else_=0)), 0).label("candidates"),
        sa.func.coalesce(sa.func.sum(cost), 0).label("pico"),
        sa.func.max(sa.case((job, candidates))).label("largest"),
        sa.func.max(runs.c.started_at).label("last"),
        sa.func.count().label("all_runs"),
        sa.func.count(sa.case((runs.c.kind == "import", 1))).label("history"),
    ).where(runs.c.user_ref == user_id, runs.c.synthetic.is_(False))
    here, known = sums.subquery(), tables.users
    before = [column for column in known.c if column.name.startswith("archived_")]
    return sa.select(here, *before).select_from(here.outerjoin(known, known.c.user_ref == user_id))


def _largest(*values: Any) -> Any:
    return max((value for value in values if value is not None), default=None)


def _user_values(person: Mapping[str, Any], is_cost_known: bool) -> dict[str, Any]:
    jobs, candidates = person["jobs"], person["candidates"]
    return {
        "total_jobs_run": jobs,
        "total_candidates_analyzed": candidates,
        "total_api_spend": to_dollars(person["cost_pico"]) if is_cost_known else None,
        "avg_candidates_per_job": Decimal(candidates) / jobs if jobs else None,
        "largest_batch_processed": person["largest_batch"],
        "last_active_date": person["last_run_at"],
    }


def _cost(rows: Iterable[Row]) -> int:
    return sum(
        int(row["cost_pico"] if row["repriced_pico"] is None else row["repriced_pico"]) for row in rows
    )


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _seconds(microseconds: int | None) -> Decimal | None:
    return None if microseconds is None else Decimal(microseconds) / 1_000_000
