"""T2 and T3: what the host's own rows show of its runs.

Short transactions that never wait while they hold a row of the host's: rows the host is busy with are
skipped and come again later. Only columns that our migration added are written, and a row is written only
while it is plainly the one the run was linked to: SQLite gives the ids of deleted rows to new ones.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from telemetry.conventions import DUPLICATE, FAILED, INTERRUPTED, RUNNING, Stage
from telemetry.pricing import to_dollars

from . import archived, document_warnings, schema
from .database import APPLICATION_NAME, fit, transaction, update_rows, upsert
from .files import FileRow, Matched, match
from .host_columns import Writable as Writable
from .host_shape import has_table
from .schema import runs
from .sql import error_details
from .totals import Totals

SKEW: Final = timedelta(minutes=5)
"""How far the host's clock may be ahead of ours when its row is compared with the end of a run."""
PATIENCE: Final = timedelta(days=1)
"""How long after a run its files may still be stored."""
COURTESY: Final = timedelta(seconds=60)
"""For how long after news of a run its rows wait while a transaction of the host's keeps a snapshot."""
JOBS: Final = ("analysis", "import")
"""Kinds of runs that are an analysis."""
COPIED: Final = ("exceeded_resume_limit", "user_chose_override")
"""Columns of the host's own that views need, and may not read from its table."""

_host = schema.host_tables(sa.MetaData())

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


def project(engine: Engine, analysis_id: int, writable: Writable, key: bytes, totals: Totals) -> Projection:
    """T2: bring the ``analyses`` row and its ``candidate_files`` up to date with the runs linked to it.

    Args:
        engine: the writer's.
        analysis_id: the row.
        writable: the columns we added.
        key: secret of the documents' hashes.
        totals: counts what had to be made to fit.
    """
    with transaction(engine, impatient=True) as connection:
        return project_within(connection, analysis_id, writable, key, totals)


def project_within(
    connection: Connection, analysis_id: int, writable: Writable, key: bytes, totals: Totals
) -> Projection:
    """Do what :func:`project` does, in a transaction that is open."""
    linked = _lock_linked_runs(connection, analysis_id)
    if linked is None or _would_break_a_snapshot(connection, linked):
        return Projection.BUSY
    row = _lock_analysis(connection, analysis_id, writable)
    if row is None:
        return _without_row(connection, analysis_id, linked)
    mine = _belonging(connection, linked, row)
    if not mine:
        return Projection.DONE
    if row.has_archived:  # its other runs are not here to be summed: the row stays as it is
        _remember(connection, mine, row, pending=0)
        document_warnings.attach(connection, analysis_id, mine)
        return Projection.DONE
    documents = _documents(connection, mine)
    values = analysis_values(mine, _usage(connection, mine), documents)
    _update(connection, _host.analyses, analysis_id, values, writable, totals)
    pending = _project_files(connection, analysis_id, documents, writable, key, totals)
    _remember(connection, mine, row, pending)
    document_warnings.attach(connection, analysis_id, mine)
    return Projection.FILES_PENDING if pending else Projection.DONE


def refresh_user(engine: Engine, user_id: int, writable: Writable, totals: Totals) -> Projection:
    """T3: recompute the totals of one ``users`` row, which is locked in a statement of its own first."""
    with transaction(engine, impatient=True) as connection:
        return refresh_user_within(connection, user_id, writable, totals)


def refresh_user_within(
    connection: Connection, user_id: int, writable: Writable, totals: Totals
) -> Projection:
    """Do what :func:`refresh_user` does, in a transaction that is open."""
    users = _host.users
    mine = users.c.id == user_id
    lock = sa.select(*writable.read(users, "id", "created_at")).where(mine)
    row = connection.execute(lock.with_for_update(skip_locked=True, key_share=True)).first()
    if row is None and connection.execute(sa.select(users.c.id).where(mine)).first() is not None:
        return Projection.BUSY
    behind = _unsummed(connection, user_id)
    if _would_break_a_snapshot(connection, behind):
        return Projection.BUSY
    if row is None:
        connection.execute(schema.users.delete().where(schema.users.c.user_ref == user_id))
    else:
        person = totals_of(connection, user_id)
        upsert(connection, schema.users, [{**person, "created_at": _naive(row.created_at)}])
        is_known = person["cost_pico"] > 0 or _is_seen(connection, user_id)
        _update(connection, users, user_id, _user_values(person, is_known), writable, totals)
    _remember_summed(connection, {run["run_id"]: run["version"] for run in behind})
    return Projection.MISSING if row is None else Projection.DONE


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
    with transaction(engine) as connection:
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
    with transaction(engine) as connection:
        return list(connection.execute(query.distinct()).scalars())


def _unsummed(connection: Connection, user_id: int) -> Sequence[Row]:
    """Return the user's ended runs whose newest version only the totals about to be computed will hold."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.run_id, runs.c.version, runs.c.seen_at).where(behind, runs.c.user_ref == user_id)
    return [dict(row) for row in connection.execute(query.where(runs.c.status != RUNNING)).mappings()]


def _remember_summed(connection: Connection, seen: Mapping[str, int]) -> None:
    """Note it for the runs that are free: a host's row is held, and waits for nothing.

    One that another writer is at work on stays behind, and is summed again.
    """
    mine = runs.c.run_id.in_(sorted(seen))
    free = sa.select(runs.c.run_id).where(mine).order_by(runs.c.run_id).with_for_update(skip_locked=True)
    for run_id in list(connection.execute(free).scalars()) if seen else ():
        change = {"user_version": seen[run_id]}
        connection.execute(runs.update().where(runs.c.run_id == run_id).values(change))


_SNAPSHOT_KEPT: Final = sa.text(
    "SELECT :news > timezone('utc', now()) - :courtesy AND EXISTS (SELECT FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    f" AND application_name <> '{APPLICATION_NAME}'"
    " AND state = 'idle in transaction' AND backend_xmin IS NOT NULL)"
)
"""Between its statements, a transaction keeps a snapshot from REPEATABLE READ on, and not below."""


def _would_break_a_snapshot(connection: Connection, mine: Sequence[Row]) -> bool:
    """Say whether the host, at REPEATABLE READ, could fail to update a row because we did meanwhile.

    Its transaction is waited for, but not for ever: a dump or a report keeps a snapshot for hours.
    """
    news = max((run["seen_at"] for run in mine if run["seen_at"]), default=None)
    if news is None or connection.dialect.name != "postgresql":
        return False
    return bool(connection.scalar(_SNAPSHOT_KEPT, {"news": news, "courtesy": COURTESY}))


def _lock_linked_runs(connection: Connection, analysis_id: int) -> list[Run] | None:
    """Lock our runs of the analysis; None when another writer holds some of them."""
    linked = runs.c.analysis_ref == analysis_id
    locked = sa.select(runs).where(linked).order_by(runs.c.run_id).with_for_update(skip_locked=True)
    rows = list(connection.execute(locked).mappings())
    count = connection.execute(sa.select(sa.func.count()).select_from(runs).where(linked)).scalar_one()
    return [dict(row) for row in rows] if len(rows) == count else None


def _lock_analysis(connection: Connection, analysis_id: int, writable: Writable) -> Any:
    table = _host.analyses
    columns = writable.read(table, "user_id", "created_at", *COPIED)
    has_archived = archived.of_analysis(connection, analysis_id, writable.column(table, "created_at"))
    query = sa.select(*columns, has_archived.label("has_archived")).where(table.c.id == analysis_id)
    return connection.execute(query.with_for_update(skip_locked=True, key_share=True)).first()


def _without_row(connection: Connection, analysis_id: int, linked: Sequence[Run]) -> Projection:
    table = _host.analyses
    if connection.execute(sa.select(table.c.id).where(table.c.id == analysis_id)).first() is not None:
        return Projection.BUSY
    seen = [run for run in linked if run["analysis_seen_at"] is not None]
    _let_go(connection, seen)
    return Projection.MISSING if len(seen) < len(linked) else Projection.DONE


def _belonging(connection: Connection, linked: Sequence[Run], row: Any) -> list[Run]:
    """Return the ended runs that were linked to this very row; let go of those whose row is gone."""
    ended = [run for run in linked if run["status"] != RUNNING or run["projected_version"]]
    mine = [run for run in ended if _belongs(run, row)]
    _let_go(connection, [run for run in ended if run not in mine])
    return mine


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


def _remember(connection: Connection, mine: Iterable[Run], row: Any, pending: int) -> None:
    for run in mine:
        change = {
            "analysis_created_at": _naive(row.created_at),
            **{name: getattr(row, name) for name in COPIED},
            "analysis_seen_at": sa.func.coalesce(runs.c.analysis_seen_at, schema.utc_now()),
            "projected_version": run["version"],
            "files_pending": pending if run["kind"] == "analysis" else 0,
        }
        connection.execute(runs.update().where(runs.c.run_id == run["run_id"]).values(change))


def _usage(connection: Connection, mine: Iterable[Run]) -> list[Row]:
    table = schema.stage_usage
    query = sa.select(table).where(table.c.run_id.in_([run["run_id"] for run in mine]))
    return _rows(connection, query)


def _update(
    connection: Connection,
    table: sa.Table,
    row_id: int,
    values: Mapping[str, Any],
    writable: Writable,
    totals: Totals,
) -> None:
    allowed = fit(table, writable.only(table, values), totals)
    if allowed:
        connection.execute(table.update().where(table.c.id == row_id).values(allowed))


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


def _project_files(
    connection: Connection,
    analysis_id: int,
    documents: Sequence[Row],
    writable: Writable,
    key: bytes,
    totals: Totals,
) -> int:
    """Update the files that are stored and free; return how many documents still wait for theirs."""
    table = _host.candidate_files
    if not writable.has_files:
        return 0
    query = (
        sa.select(table.c.id, *writable.read(table, "file_name", "file_bytes"))
        .where(table.c.analysis_id == analysis_id)
        .order_by(table.c.id)
    )
    rows = [
        FileRow(*row) for row in connection.execute(query.with_for_update(skip_locked=True, key_share=True))
    ]
    if not rows:
        return len([row for row in documents if row["outcome"] != DUPLICATE])
    changes = [
        {"row_id": found.row_id, **fit(table, writable.only(table, _file_values(found)), totals)}
        for found in match(rows, documents, key)
    ]
    update_rows(connection, table, changes)
    stored = sa.select(sa.func.count()).select_from(table).where(table.c.analysis_id == analysis_id)
    return connection.execute(stored).scalar_one() - len(rows)


def _documents(connection: Connection, mine: Iterable[Run]) -> list[Row]:
    table = schema.documents
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
    """Return the totals of a user, as our own table has them.

    It is one statement: a run that is archived meanwhile counts once, here or there.
    """
    job = sa.and_(runs.c.kind.in_(JOBS), runs.c.status != RUNNING)
    candidates = sa.func.coalesce(runs.c.candidates, 0)
    sums = sa.select(
        sa.func.count(sa.case((job, 1))).label("jobs"),
        sa.func.coalesce(sa.func.sum(sa.case((job, candidates), else_=0)), 0).label("candidates"),
        sa.func.coalesce(sa.func.sum(sa.func.coalesce(runs.c.repriced_pico, runs.c.cost_pico)), 0).label(
            "pico"
        ),
        sa.func.max(sa.case((job, candidates))).label("largest"),
        sa.func.max(runs.c.started_at).label("last"),
    ).where(runs.c.user_ref == user_id, runs.c.synthetic.is_(False))
    here, known = sums.subquery(), schema.users
    before = [column for column in known.c if column.name.startswith("archived_")]
    query = sa.select(here, *before).select_from(here.outerjoin(known, known.c.user_ref == user_id))
    row = connection.execute(query).one()
    return {
        "user_ref": user_id,
        "jobs": row.jobs + (row.archived_jobs or 0),
        "candidates": int(row.candidates) + (row.archived_candidates or 0),
        "cost_pico": int(row.pico) + (row.archived_cost_pico or 0),
        "largest_batch": _largest(row.largest, row.archived_largest_batch),
        "last_run_at": _largest(row.last, row.archived_last_run_at),
    }


def _largest(*values: Any) -> Any:
    return max((value for value in values if value is not None), default=None)


def _is_seen(connection: Connection, user_id: int) -> bool:
    """Say whether the user has more than history, of which nobody knows what it cost, or nothing at all."""
    mine = sa.and_(runs.c.user_ref == user_id, runs.c.synthetic.is_(False))
    kinds = set(connection.scalars(sa.select(runs.c.kind).where(mine).distinct()))
    return kinds != {"import"}


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
