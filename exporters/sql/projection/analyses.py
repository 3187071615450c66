"""T2 and T3: what the host's own rows show of its runs.

What they are to show is computed before any row of the host's is locked, and noted in our own tables after it
is written (:mod:`.host_rows`). Only columns that our migration added are written, and a row is written only
while it is plainly the one the run was linked to: SQLite gives the ids of deleted rows to new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.metrics.totals import Totals
from exporters.sql.database.engine import reading
from exporters.sql.database.fitting import fit
from exporters.sql.host.columns import Writable as Writable
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from exporters.sql.storage import archived
from exporters.sql.storage import warnings as warning_storage
from telemetry.conventions import DUPLICATE, INTERRUPTED, RUNNING

from .files import FileRow, match
from .host_rows import Basis, Change, Query, Written, look, write, write_within
from .host_tables import COPIED, HOST, Projection, Row, Run, joined, lock_free, naive, trial, update_runs
from .values import analysis_values, file_values

SKEW: Final = timedelta(minutes=5)
"""How far the host's clock may be ahead of ours when its row is compared with the end of a run."""
FILES_AT_ONCE: Final = 500
"""Files that are written under one lock."""

_IDENTITY: Final = ("user_id", "created_at")
"""Columns that tell whether a run is an analysis's own."""
_files_table = HOST.candidate_files


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
        with trial(engine, take_back) as connection:
            written = write_within(connection, plan.basis, plan.change) if plan.change else None
            return Projection.BUSY if plan.change and written is None else _note(connection, plan, written)
    written = _write_in_parts(engine, plan, take_back=take_back) if plan.change else None
    if plan.change and written is None:
        return Projection.BUSY
    with trial(engine, take_back) as connection:
        return _note(connection, plan, written)


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
    table = HOST.analyses
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
        {"row_id": found.row_id, **fit(_files_table, names(file_values(found)), totals)}
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
    return sa.select(joined([_versions(linked, dialect), *texts])).where(HOST.analyses.c.id == row_id)


def _versions(which: sa.ColumnElement[bool], dialect: str) -> sa.ColumnElement[Any]:
    """Return one value for the versions of some runs."""
    parts: list[sa.ColumnElement[Any]] = [
        runs.c.run_id,
        sa.cast(runs.c.version, sa.Text()),
        sa.cast(runs.c.analysis_gone, sa.Text()),
    ]
    each = sa.select(joined(parts).label("run")).where(which).order_by(runs.c.run_id).subquery()
    if dialect == "postgresql":
        hashes = sa.func.sum(sa.func.hashtextextended(each.c.run, 0))
        parts = [sa.cast(sa.func.count(), sa.Text()), sa.func.coalesce(sa.cast(hashes, sa.Text()), "")]
        return sa.select(joined(parts)).select_from(each).scalar_subquery()
    return sa.select(sa.func.coalesce(sa.func.group_concat(each.c.run), "")).scalar_subquery()


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


def _analysis(connection: Connection, analysis_id: int, writable: Writable) -> Any:
    table = HOST.analyses
    columns = writable.read(table, "user_id", "created_at", *COPIED)
    has_archived = archived.of_analysis(connection, analysis_id, writable.column(table, "created_at"))
    query = sa.select(*columns, has_archived.label("has_archived")).where(table.c.id == analysis_id)
    return connection.execute(query).first()


def _belongs(run: Run, row: Any) -> bool:
    if run["analysis_gone"]:
        return False
    created = naive(row.created_at)
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


def _let_go(connection: Connection, gone: Iterable[Run]) -> None:
    """Never project these again: what they were linked to is gone, or was never theirs."""
    for run in gone:
        change = {"analysis_gone": True, "projected_version": run["version"], "files_pending": 0}
        connection.execute(runs.update().where(runs.c.run_id == run["run_id"]).values(change))


def _remember(connection: Connection, shown_runs: Sequence[Run], row: Any, pending: int) -> bool:
    """Note what the row shows; return False where another writer was at work on a run."""
    shown = {"analysis_created_at": naive(row.created_at), **{name: getattr(row, name) for name in COPIED}}
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
    free = lock_free(connection, changes)
    update_runs(connection, [changes[run_id] for run_id in free], "projected_version")
    return len(free) == len(changes)


def _usage(connection: Connection, own_runs: Iterable[Run]) -> list[Row]:
    table = tables.stage_usage
    query = sa.select(table).where(table.c.run_id.in_([run["run_id"] for run in own_runs]))
    return _rows(connection, query)


def _files(connection: Connection, analysis_id: int, writable: Writable) -> list[FileRow]:
    if not writable.has_files:
        return []
    table = _files_table
    columns = (table.c.id, *writable.read(table, "file_name", "file_bytes"))
    query = sa.select(*columns).where(table.c.analysis_id == analysis_id).order_by(table.c.id)
    return [FileRow(*row) for row in connection.execute(query)]


def _documents(connection: Connection, own_runs: Iterable[Run]) -> list[Row]:
    table = tables.documents
    query = (
        sa.select(table)
        .where(table.c.run_id.in_([run["run_id"] for run in own_runs]))
        .order_by(table.c.run_id, table.c.document_key, table.c.ordinal)
    )
    return _rows(connection, query)


def _rows(connection: Connection, query: Any) -> list[Row]:
    """Return the rows of a query, made into dictionaries in half the time that their mappings take."""
    result = connection.execute(query)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]
