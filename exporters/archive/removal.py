"""Delete archived rows from the tables: in small transactions, each of whole analyses.

What was written to a file is compared with the rows, value by value, while these are locked. What has
changed, or is locked by others, stays for the next time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.statements import Row, upsert
from exporters.sql.host.columns import Writable
from exporters.sql.projection.users import totals_of
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.tables import JOBS, archived_days, archived_runs, fragments, runs, system_health_log

from .contents import LOG, RUNS, Contents, Digests, Key, add_digest, exact_rows
from .due import Group, is_settled


def rows_of(connection: Connection, contents: Contents, table: sa.Table, keys: Iterable[Any]) -> list[Row]:
    """Return the rows of a table with these keys."""
    query = sa.select(table).where(table.c[contents.key].in_(list(keys)))
    return exact_rows(table, connection.execute(query.order_by(*table.primary_key)).mappings())


def move_runs(
    connection: Connection, groups: Iterable[Group], digests: Digests, archive: str, cutoff: datetime
) -> int:
    """Delete the groups whose rows equal those in the files; return the number of runs."""
    groups = list(groups)
    locked = _lock(connection, [run_id for group in groups for run_id in group], cutoff)
    rows = {table: rows_of(connection, RUNS, table, locked) for table in RUNS.tables}
    same = _same(RUNS, rows, digests)
    whole = _whole(connection, locked)
    ids = [
        run_id for group in groups if same.issuperset(group) and whole.issuperset(group) for run_id in group
    ]
    if ids:
        deleted = [locked[run_id] for run_id in ids]
        _keep_totals(connection, deleted)
        _record(connection, deleted, rows[fragments], archive)
        for table in reversed(RUNS.tables):
            connection.execute(table.delete().where(table.c.run_id.in_(ids)))
    return len(ids)


def move_days(connection: Connection, days: Iterable[date], digests: Digests, archive: str) -> int:
    """Delete the days of the log that equal those in the file; return their number."""
    table = system_health_log
    query = sa.select(table).where(table.c.log_date.in_(list(days))).with_for_update(skip_locked=True)
    rows = {table: exact_rows(table, connection.execute(query).mappings())}
    same = _same(LOG, rows, digests)
    days_deleted = [row["log_date"] for row in rows[table] if str(row["log_date"]) in same]
    if days_deleted:
        connection.execute(
            archived_days.insert(), [{"log_date": day, "archive": archive} for day in days_deleted]
        )
        connection.execute(table.delete().where(table.c.log_date.in_(days_deleted)))
    return len(days_deleted)


def _lock(connection: Connection, ids: Sequence[Key], cutoff: datetime) -> dict[Key, Row]:
    query = sa.select(runs).where(runs.c.run_id.in_(ids), is_settled(runs, cutoff)).order_by(runs.c.run_id)
    rows = connection.execute(query.with_for_update(of=runs, skip_locked=True)).mappings()
    return {row["run_id"]: row for row in exact_rows(runs, rows)}


def _same(contents: Contents, current: Mapping[sa.Table, Iterable[Row]], digests: Digests) -> set[Key]:
    now: Digests = {}
    for table, rows in current.items():
        for row in rows:
            add_digest(now, contents, table, row)
    return {key for key, digest in now.items() if digests.get(key) == digest}


def _whole(connection: Connection, locked: Mapping[Key, Row]) -> set[Key]:
    """Return the locked runs of which all runs of the analysis are locked."""
    analyses: dict[int, list[Key]] = {}
    for run_id, run in locked.items():
        if run["analysis_ref"] is not None:
            analyses.setdefault(run["analysis_ref"], []).append(run_id)
    query = sa.select(runs.c.analysis_ref, sa.func.count()).where(runs.c.analysis_ref.in_(list(analyses)))
    counts = {row[0]: row[1] for row in connection.execute(query.group_by(runs.c.analysis_ref))}
    broken = {run for key, run_ids in analyses.items() if counts.get(key) != len(run_ids) for run in run_ids}
    return locked.keys() - broken


def _record(connection: Connection, deleted: Sequence[Row], parts: Iterable[Row], archive: str) -> None:
    seen: dict[Key, dict[str, int]] = {}
    for part in parts:
        seen.setdefault(part["run_id"], {})[part["fragment_id"]] = part["seq"]
    copied = ("run_id", "kind", "synthetic", "user_ref", "analysis_ref", "analysis_created_at")
    rows = [
        {
            **{name: run[name] for name in (*copied, "analysis_gone", "started_at")},
            "fragments": json.dumps(seen.get(run["run_id"], {})),
            "archive": archive,
        }
        for run in deleted
    ]
    connection.execute(archived_runs.insert(), rows)


def _keep_totals(connection: Connection, deleted: Sequence[Row]) -> None:
    """Add the runs to the archived part of their users' totals.

    Users are updated in the order of their ids, so that two processes cannot deadlock.
    """
    by_user: dict[int, list[Row]] = {}
    for run in deleted:
        if run["user_ref"] is not None and not run["synthetic"]:
            by_user.setdefault(run["user_ref"], []).append(run)
    _make_rows(connection, list(by_user))
    for user_id, user_runs in sorted(by_user.items()):
        change = _added([run for run in user_runs if run["kind"] in JOBS], user_runs)
        connection.execute(tables.users.update().where(tables.users.c.user_ref == user_id).values(change))


def _make_rows(connection: Connection, ids: Sequence[int]) -> None:
    """Create rows in telemetry_users for users of runs from before that table existed."""
    table, known = HOST.users, sa.exists().where(tables.users.c.user_ref == HOST.users.c.id)
    created = Writable.of(connection).read(table, "created_at")
    query = sa.select(table.c.id, *created).where(table.c.id.in_(ids), ~known).order_by(table.c.id)
    for user_id, created_at in connection.execute(query).all():
        upsert(connection, tables.users, [{**totals_of(connection, user_id), "created_at": created_at}])


def _added(jobs: Sequence[Row], user_runs: Sequence[Row]) -> dict[str, Any]:
    table = tables.users.c
    pico = sum(
        run["cost_pico"] if run["repriced_pico"] is None else run["repriced_pico"] for run in user_runs
    )
    return {
        "archived_jobs": _plus(table.archived_jobs, len(jobs)),
        "archived_candidates": _plus(table.archived_candidates, sum(run["candidates"] or 0 for run in jobs)),
        "archived_cost_pico": _plus(table.archived_cost_pico, pico),
        **_maximum(table.archived_largest_batch, [run["candidates"] or 0 for run in jobs]),
        **_maximum(table.archived_last_run_at, [run["started_at"] for run in user_runs]),
    }


def _plus(column: sa.ColumnElement[Any], number: int) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(column, 0) + number


def _maximum(column: sa.Column[Any], values: Sequence[Any]) -> dict[str, Any]:
    """Return the update of a column that holds a maximum."""
    if not values:
        return {}
    value = sa.literal(max(values), column.type)
    return {column.name: sa.case((column > value, column), else_=value)}
