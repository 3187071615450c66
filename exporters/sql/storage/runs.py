"""T1, the first of the writer's three transactions: store a snapshot, and compute its run again.

It uses our own tables only. It locks the row of the run *before* it reads the fragments: otherwise two
processes that deliver fragments of one run at the same time would miss each other's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.rollup.merge import Rollup, merge
from exporters.rollup.snapshot import Snapshot
from exporters.sql.database.engine import transaction
from exporters.sql.database.statements import insert, upsert
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from telemetry.conventions import RUNNING, UNKNOWN

from . import archived, repriced
from .run_rows import RunRows, fragment_row, run_rows


@dataclass(frozen=True, slots=True)
class Delivered:
    """The stored state of a run after a snapshot was delivered."""

    run_id: str
    status: str
    analysis_id: int | None
    user_id: int | None
    is_shown: bool
    """Whether the host's row shows an earlier state of the run."""
    coerced: tuple[str, ...] = ()
    """Columns whose values had to be changed to fit, as ``table.column``."""


when_ended: Final[list[Callable[[], object]]] = []
"""Functions that are called after an ended run was stored, such as those that clear caches."""


def deliver(engine: Engine, snapshot: Snapshot) -> Delivered:
    """Store ``snapshot`` and compute its run; safe to repeat, in any order.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        NewerSnapshot: if a newer version of this code wrote other fragments of the run.
        ArchivedRun: if the run is in an archive without this snapshot.
    """
    try:
        with transaction(engine) as connection:
            delivered = _deliver(connection, snapshot)
    except archived.AlreadyArchived:
        return Delivered(snapshot.run_id, UNKNOWN, None, None, is_shown=False)
    if delivered.status != RUNNING:
        for notify in when_ended:
            notify()
    return delivered


def _deliver(connection: Connection, snapshot: Snapshot) -> Delivered:
    version = _lock_run(connection, snapshot)
    if not version:
        archived.refuse(connection, snapshot)
    fragment, coerced = fragment_row(snapshot)
    is_news = _store_fragment(connection, snapshot, fragment)
    is_marked = snapshot.interrupted and _mark_interrupted(connection, snapshot)
    known = snapshot if is_news and not snapshot.interrupted else None
    rollup = merge(fragments_of(connection, snapshot.run_id, known))
    is_this = runs.c.run_id == snapshot.run_id
    # An intake may be charged to an analysis that its own fragments do not name.
    columns = (runs.c.analysis_ref, runs.c.user_ref, runs.c.projected_version)
    if is_news or is_marked:
        rows = run_rows(snapshot.run_id, rollup)
        coerced += rows.coerced
        values = _store_parts(connection, snapshot.run_id, rollup, rows, is_new=not version)
        stored = connection.execute(runs.update().where(is_this).values(values).returning(*columns)).one()
    else:
        stored = connection.execute(sa.select(*columns).where(is_this)).one()
    shown = bool(stored.projected_version)
    return Delivered(snapshot.run_id, rollup.status, stored.analysis_ref, stored.user_ref, shown, coerced)


def _lock_run(connection: Connection, snapshot: Snapshot) -> int:
    """Create the row of the run if it does not exist, and lock it; return its version, 0 for a new row."""
    row = {
        "run_id": snapshot.run_id,
        "kind": snapshot.kind,
        "source": "spans",
        "synthetic": snapshot.synthetic,
        "version": 0,
        "status": RUNNING,
        "cost_complete": False,
    }
    new = insert(connection.dialect.name, runs).values(row)
    locked = new.on_conflict_do_update(index_elements=["run_id"], set_={"kind": snapshot.kind})
    version: int = connection.execute(locked.returning(runs.c.version)).scalar_one()
    return version


def _store_fragment(connection: Connection, snapshot: Snapshot, row: dict[str, Any]) -> bool:
    """Store a snapshot if it is newer than the stored state of its fragment; return whether it was."""
    table = tables.fragments
    new = insert(connection.dialect.name, table).values({**row, "seen_at": tables.utc_now()})
    keys = [column.name for column in table.primary_key]
    changes = {name: new.excluded[name] for name in (*row, "seen_at") if name not in keys}
    newer = new.on_conflict_do_update(
        index_elements=keys, set_=changes, where=table.c.seq < new.excluded.seq
    ).execution_options(preserve_rowcount=True)
    if connection.execute(newer).rowcount > 0:
        return True
    connection.execute(table.update().where(_is(snapshot)).values(seen_at=tables.utc_now()))
    return False


def _mark_interrupted(connection: Connection, snapshot: Snapshot) -> bool:
    table = tables.fragments
    is_open = sa.or_(table.c.closed_at.is_(None), sa.literal(snapshot.is_loose))
    marked = table.update().where(_is(snapshot), is_open, table.c.seq <= snapshot.seq)
    news = marked.where(table.c.interrupted_seq.is_distinct_from(table.c.seq))
    return connection.execute(news.values(interrupted_seq=table.c.seq)).rowcount > 0


def _is(snapshot: Snapshot) -> sa.ColumnElement[bool]:
    table = tables.fragments
    return (table.c.run_id == snapshot.run_id) & (table.c.fragment_id == snapshot.fragment_id)


def fragments_of(connection: Connection, run_id: str, known: Snapshot | None) -> list[Snapshot]:
    """Return the fragments of a run; ``known`` is one of them, and is not read from the database."""
    table = tables.fragments
    query = sa.select(table.c.state, table.c.seq, table.c.interrupted_seq).where(table.c.run_id == run_id)
    fragments = []
    if known is not None:
        fragments.append(known)
        query = query.where(table.c.fragment_id != known.fragment_id)
    for state, seq, interrupted_seq in connection.execute(query):
        if state:
            interrupted = interrupted_seq is not None and interrupted_seq >= seq
            fragments.append(replace(Snapshot.from_json(state), interrupted=interrupted))
    return fragments


def _store_parts(
    connection: Connection, run_id: str, rollup: Rollup, rows: RunRows, *, is_new: bool
) -> dict[str, Any]:
    """Store the rows of the parts of a run, and return the values for its own row."""
    row = rows.run
    if not is_new:
        row = row | repriced.carry(connection, run_id, rows.usage, row, rollup)
    upsert(connection, tables.stage_usage, rows.usage)
    upsert(connection, tables.counters, rows.counters)
    upsert(connection, tables.documents, rows.documents)
    analysis = sa.func.coalesce(sa.literal(row["analysis_ref"], sa.BigInteger()), runs.c.analysis_ref)
    return {**row, "analysis_ref": analysis, "version": runs.c.version + 1, "seen_at": tables.utc_now()}
