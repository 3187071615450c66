"""T3: the totals of a user, in the host's row of the user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.fitting import fit
from exporters.sql.database.statements import Row, insert, update_rows, upsert
from exporters.sql.host.change import Basis, Change, Condition, More, Written
from exporters.sql.host.columns import Writable
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.tables import JOBS, runs
from telemetry.conventions import RUNNING

from .noted import joined, lock_free, naive
from .plan import Plan, Projection
from .values import user_values


def plan_user(connection: Connection, user_id: int, columns: Writable) -> Plan:
    """Compute the new totals for a ``users`` row.

    Args:
        connection: a connection that only reads.
        user_id: the row.
        columns: the columns that telemetry added.
    """
    table = HOST.users
    row = connection.execute(
        sa.select(*columns.read(table, "id", "created_at")).where(table.c.id == user_id)
    ).first()
    behind = _unsummed(connection, user_id)
    person, is_known, seen = _totals_of(connection, user_id)
    news = max((run["seen_at"] for run in behind if run["seen_at"]), default=None)
    basis = Basis(table, user_id, _totals_text, seen, news)
    if row is None:
        return Plan(basis, None, partial(_note_gone, user_id=user_id, behind=behind))
    fitted = fit(table, columns.only(table, user_values(person, is_known)))
    stored = {**person, "created_at": naive(row.created_at)}
    more = More(
        tables.users, [stored], _store_totals, lambda connection: upsert(connection, tables.users, [stored])
    )
    return Plan(basis, Change(fitted.row, more=more), partial(_note, behind=behind), fitted.coerced)


def _totals_text(user_id: sa.ColumnElement[int]) -> Any:
    """Return the query of a user's totals as one text, which shows whether they have changed."""
    return sa.select(_text(_totals_query(user_id).subquery()))


def _text(totals: sa.Subquery) -> sa.ColumnElement[Any]:
    return joined([sa.func.coalesce(sa.cast(column, sa.Text()), "") for column in totals.c])


def _store_totals(given: Any, unchanged: Condition) -> Any:
    """Return the statement that stores the totals of a user in our table."""
    names = [column.name for column in given.c]
    new = insert("postgresql", tables.users).from_select(names, sa.select(given).where(unchanged))
    changes = {name: new.excluded[name] for name in names if name != "user_ref"}
    return new.on_conflict_do_update(index_elements=["user_ref"], set_=changes)


def _note(connection: Connection, _: Written | None, behind: Sequence[Row]) -> Projection:
    """Note which runs the totals include."""
    _remember_summed(connection, behind)
    return Projection.DONE


def _note_gone(connection: Connection, _: Written | None, user_id: int, behind: Sequence[Row]) -> Projection:
    """Remove the totals of a user whose row does not exist."""
    connection.execute(tables.users.delete().where(tables.users.c.user_ref == user_id))
    _remember_summed(connection, behind)
    return Projection.MISSING


def _unsummed(connection: Connection, user_id: int) -> Sequence[Row]:
    """Return the user's ended runs whose newest version is not in the stored totals."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.run_id, runs.c.version, runs.c.seen_at).where(behind, runs.c.user_ref == user_id)
    return [dict(row) for row in connection.execute(query.where(runs.c.status != RUNNING)).mappings()]


def _remember_summed(connection: Connection, behind: Sequence[Row]) -> None:
    """Note that the totals include these runs, except those that another session has locked.

    These keep lagging, and are summed again.
    """
    versions = {run["run_id"]: run["version"] for run in behind}
    free = lock_free(connection, versions)
    summed = [{"row_id": run_id, "user_version": versions[run_id]} for run_id in free]
    update_rows(connection, runs, summed, by="run_id", version="user_version")


def totals_of(connection: Connection, user_id: int) -> dict[str, Any]:
    """Return the totals of a user, with the keys of our table."""
    return _totals_of(connection, user_id)[0]


def _totals_of(connection: Connection, user_id: int) -> tuple[dict[str, Any], bool, str]:
    """Return the totals of a user, whether the cost is known, and all totals as one text.

    One statement reads both the runs and the archived totals, so that a run that is being archived counts
    once.
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
    # The cost of history is unknown. A user may have no run but history, or no run at all.
    return totals, pico > 0 or not row.all_runs or row.all_runs > row.history, row.text


@cache
def _totals_and_text() -> Any:
    totals = _totals_query(sa.bindparam("user_id", type_=sa.BigInteger())).subquery()
    return sa.select(totals, _text(totals).label("text"))


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
