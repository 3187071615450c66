"""T3: the totals of a user, in the host's own row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.metrics.totals import Totals
from exporters.sql.database.engine import reading
from exporters.sql.database.fitting import fit
from exporters.sql.database.statements import insert, upsert
from exporters.sql.host.columns import Writable
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from telemetry.conventions import RUNNING

from .host_rows import Basis, Change, Condition, More, write, write_within
from .host_tables import HOST, JOBS, Projection, Row, joined, lock_free, naive, trial, update_runs
from .values import user_values


def refresh_user(
    engine: Engine, user_id: int, writable: Writable, totals: Totals, *, take_back: bool = False
) -> Projection:
    """T3: recompute the totals of one ``users`` row; ``take_back`` if it is only tried."""
    with reading(engine) as connection:
        plan = _plan_user(connection, user_id, writable, totals)
    if engine.dialect.name != "postgresql":
        with trial(engine, take_back) as connection:
            if plan.change and write_within(connection, plan.basis, plan.change) is None:
                return Projection.BUSY
            return _note_user(connection, plan)
    if plan.change and write(engine, plan.basis, plan.change, take_back=take_back) is None:
        return Projection.BUSY
    with trial(engine, take_back) as connection:
        return _note_user(connection, plan)


@dataclass(frozen=True, slots=True)
class _UserPlan:
    """What is to become of a ``users`` row."""

    basis: Basis
    change: Change | None
    """None where the row is not there."""
    behind: Sequence[Row]
    """Ended runs whose newest version only the new totals hold."""


def _plan_user(connection: Connection, user_id: int, writable: Writable, totals: Totals) -> _UserPlan:
    table = HOST.users
    row = connection.execute(
        sa.select(*writable.read(table, "id", "created_at")).where(table.c.id == user_id)
    ).first()
    behind = _unsummed(connection, user_id)
    person, is_known, seen = _totals_of(connection, user_id)
    news = max((run["seen_at"] for run in behind if run["seen_at"]), default=None)
    basis = Basis(table, user_id, _totals_text, seen, news)
    if row is None:
        return _UserPlan(basis, None, behind)
    values = fit(table, writable.only(table, user_values(person, is_known)), totals)
    kept = {**person, "created_at": naive(row.created_at)}
    more = More(tables.users, [kept], _keep, lambda connection: upsert(connection, tables.users, [kept]))
    return _UserPlan(basis, Change(values, more=more), behind)


def _totals_text(user_id: sa.ColumnElement[int]) -> Any:
    """Return the totals of a user as one text: as long as they are the same, so is the row."""
    return sa.select(_text(_totals_query(user_id).subquery()))


def _text(found: sa.Subquery) -> sa.ColumnElement[Any]:
    return joined([sa.func.coalesce(sa.cast(column, sa.Text()), "") for column in found.c])


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


def _unsummed(connection: Connection, user_id: int) -> Sequence[Row]:
    """Return the user's ended runs whose newest version only the totals about to be computed will hold."""
    behind = runs.c.user_version < runs.c.version
    query = sa.select(runs.c.run_id, runs.c.version, runs.c.seen_at).where(behind, runs.c.user_ref == user_id)
    return [dict(row) for row in connection.execute(query.where(runs.c.status != RUNNING)).mappings()]


def _remember_summed(connection: Connection, seen: Mapping[str, int]) -> None:
    """Note it for the runs that are free.

    One that another writer is at work on stays behind, and is summed again.
    """
    free = lock_free(connection, seen)
    update_runs(
        connection, [{"key": run_id, "user_version": seen[run_id]} for run_id in free], "user_version"
    )


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
