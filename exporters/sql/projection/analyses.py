"""T2: the values of an ``analyses`` row and its ``candidate_files``, from the runs linked to it.

Only columns that our migration added are written, and only to the row to which the run was linked: SQLite
gives the ids of deleted rows to new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.fitting import fit, fit_all
from exporters.sql.database.statements import Row, update_rows
from exporters.sql.host.change import Basis, Change, Query, Written, read_basis
from exporters.sql.host.columns import Writable
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.tables import runs
from exporters.sql.storage import archived, attachment
from telemetry.conventions import DUPLICATE, INTERRUPTED, RUNNING

from .files import FileRow, match
from .noted import COPIED, Run, copies, joined, lock_free, naive
from .plan import Plan, Projection
from .values import analysis_values, file_values

HOST_CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the host's clock may be ahead of ours when its row is compared with the end of a run."""
_IDENTITY: Final = ("user_id", "created_at")
"""Columns that show whether a run belongs to the row."""
_files_table = HOST.candidate_files


@dataclass(frozen=True, slots=True)
class _Shown:
    """The new state of an ``analyses`` row, as far as our own tables note it."""

    row: Any
    """The row; None if it does not exist."""
    shown_runs: Sequence[Run] = ()
    """The runs that it then shows."""
    gone: Sequence[Run] = ()
    """Runs whose row was deleted, or was never theirs."""
    is_missing: bool = False
    missing_files: int = 0
    """If no file is stored yet, the number of documents that wait for one."""
    n_files: int = 0
    """Files whose rows are to be written."""
    n_stored: int = 0
    """Files that were stored when the change was computed."""


def plan_analysis(connection: Connection, analysis_id: int, columns: Writable, key: bytes) -> Plan:
    """Compute the new values of an ``analyses`` row and its ``candidate_files``.

    Args:
        connection: a connection that only reads.
        analysis_id: the row.
        columns: the columns that telemetry added.
        key: secret of the documents' hashes.
    """
    table = HOST.analyses
    query = _runs_and_owner(columns.dialect, *(columns.column(table, name) for name in _IDENTITY))
    seen = read_basis(connection, query, analysis_id)  # first, so that every later change is noticed
    linked = _rows(
        connection, sa.select(runs).where(runs.c.analysis_ref == analysis_id).order_by(runs.c.run_id)
    )
    row = _analysis(connection, analysis_id, columns)
    news = max((run["seen_at"] for run in linked if run["seen_at"]), default=None)
    basis = Basis(table, analysis_id, query, seen, news)
    if row is None:
        gone = [run for run in linked if run["analysis_seen_at"] is not None]
        return _plan(basis, None, _Shown(None, gone=gone, is_missing=len(gone) < len(linked)))
    ended = [run for run in linked if run["status"] != RUNNING or run["projected_version"]]
    shown_runs = [run for run in ended if _belongs(run, row)]
    shown = _Shown(row, shown_runs, [run for run in ended if not _belongs(run, row)])
    if not shown_runs:
        return _plan(basis, None, shown)
    attached = attachment.attached(analysis_id, attachment.loose(connection, shown_runs))
    if row.has_archived:  # the row stays as it is, because the sums of archived runs are unknown here
        return _plan(basis, Change({}, more=attached), shown)
    documents = _documents(connection, shown_runs)
    values = analysis_values(shown_runs, _usage(connection, shown_runs), documents)
    fitted = fit(table, columns.only(table, values))
    stored = _files(connection, analysis_id, columns)
    files = fit_all(
        _files_table,
        (
            {"row_id": matched.row_id, **columns.only(_files_table, file_values(matched))}
            for matched in match(stored, documents, key)
        ),
    )
    waiting = 0 if stored or not columns.has_files else sum(row["outcome"] != DUPLICATE for row in documents)
    shown = replace(shown, missing_files=waiting, n_files=len(files.rows), n_stored=len(stored))
    change = Change(fitted.row, files.rows, attached)
    return _plan(basis, change, shown, (*fitted.coerced, *files.coerced))


def _plan(basis: Basis, change: Change | None, shown: _Shown, coerced: tuple[str, ...] = ()) -> Plan:
    return Plan(basis, change, partial(_note, shown=shown), coerced)


@cache
def _runs_and_owner(dialect: str, *owner: sa.ColumnElement[Any] | None) -> Query:
    """Return the query of all that the values of a row depend on: its runs and its owner."""
    known = [column for column in owner if column is not None]
    return partial(_runs_and, dialect, known)


def _runs_and(dialect: str, owner: Sequence[sa.ColumnElement[Any]], row_id: sa.ColumnElement[int]) -> Any:
    shown = sa.or_(runs.c.status != RUNNING, runs.c.projected_version > 0)
    linked = sa.and_(runs.c.analysis_ref == row_id, shown)
    texts = [sa.func.coalesce(sa.cast(column, sa.Text()), "") for column in owner]
    return sa.select(joined([_versions(linked, dialect), *texts])).where(HOST.analyses.c.id == row_id)


def _versions(which: sa.ColumnElement[bool], dialect: str) -> sa.ColumnElement[Any]:
    """Return one value that changes with the version of any of these runs."""
    parts: list[sa.ColumnElement[Any]] = [
        runs.c.run_id,
        sa.cast(runs.c.version, sa.Text()),
        sa.cast(runs.c.analysis_gone, sa.Text()),
    ]
    described = sa.select(joined(parts).label("run")).where(which).order_by(runs.c.run_id).subquery()
    if dialect == "postgresql":
        hashes = sa.func.sum(sa.func.hashtextextended(described.c.run, 0))
        parts = [sa.cast(sa.func.count(), sa.Text()), sa.func.coalesce(sa.cast(hashes, sa.Text()), "")]
        return sa.select(joined(parts)).select_from(described).scalar_subquery()
    return sa.select(sa.func.coalesce(sa.func.group_concat(described.c.run), "")).scalar_subquery()


def _note(connection: Connection, written: Written | None, shown: _Shown) -> Projection:
    """Note in our tables what the row now shows."""
    _unlink(connection, shown.gone)
    if shown.row is None or written is None:
        return Projection.MISSING if shown.is_missing else Projection.DONE
    late = max(written.stored - shown.n_stored, 0) if shown.n_files else 0
    pending = shown.missing_files + late + shown.n_files - written.free
    if not _note_shown(connection, shown.shown_runs, shown.row, pending):
        return Projection.BUSY
    return Projection.FILES_PENDING if pending else Projection.DONE


def _analysis(connection: Connection, analysis_id: int, columns: Writable) -> Any:
    table = HOST.analyses
    read = columns.read(table, "user_id", "created_at", *COPIED)
    has_archived = archived.of_analysis(connection, analysis_id, columns.column(table, "created_at"))
    query = sa.select(*read, has_archived.label("has_archived")).where(table.c.id == analysis_id)
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
    return ended is None or created is None or created <= ended + HOST_CLOCK_SKEW


def _latest_end(run: Run) -> datetime | None:
    """Return the latest time at which a run can have ended; None if that is unknown.

    If the clock was set forward during the run, the end computed from its start is too early; then the time
    at which the snapshot arrived counts. That of an interrupted run may arrive days later, when SQLite has
    given the id of its row to another row.
    """
    ended: datetime | None = run["ended_at"]
    arrived: datetime | None = run["seen_at"]
    if ended is None or arrived is None or run["status"] == INTERRUPTED:
        return ended
    return max(ended, arrived)


def _unlink(connection: Connection, gone: Iterable[Run]) -> None:
    """Stop projecting runs whose row was deleted, or was never theirs."""
    for run in gone:
        change = {"analysis_gone": True, "projected_version": run["version"], "files_pending": 0}
        connection.execute(runs.update().where(runs.c.run_id == run["run_id"]).values(change))


def _note_shown(connection: Connection, shown_runs: Sequence[Run], row: Any, pending: int) -> bool:
    """Note that the row shows these runs; return False if another session has locked one."""
    shown = {"analysis_created_at": naive(row.created_at), **copies(row._mapping)}
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
            changes[run["run_id"]] = {"row_id": run["run_id"], **change}
    free = lock_free(connection, changes)
    shown_now = [changes[run_id] for run_id in free]
    update_rows(connection, runs, shown_now, by="run_id", version="projected_version")
    return len(free) == len(changes)


def _usage(connection: Connection, own_runs: Iterable[Run]) -> list[Row]:
    table = tables.stage_usage
    query = sa.select(table).where(table.c.run_id.in_([run["run_id"] for run in own_runs]))
    return _rows(connection, query)


def _files(connection: Connection, analysis_id: int, columns: Writable) -> list[FileRow]:
    if not columns.has_files:
        return []
    table = _files_table
    read = columns.read(table, "file_name", "file_bytes")
    query = sa.select(table.c.id, *read).where(table.c.analysis_id == analysis_id).order_by(table.c.id)
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
    """Return the rows of a query as dictionaries, twice as fast as by their mappings."""
    result = connection.execute(query)
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result]
