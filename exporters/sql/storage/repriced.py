"""Keeps the values that `reprice` wrote when a snapshot arrives after it.

If `repriced_pico` is set, it is shown instead of `cost_pico`. Later cost is added to both. `unpriced` of a
run counts its calls that still have no price: those of its stage rows, less those that `reprice` priced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.rollup.merge import Rollup
from exporters.sql.database.statements import Row
from exporters.sql.schema.tables import runs, stage_usage

_KEY = tuple(column.name for column in stage_usage.primary_key)


def carry(
    connection: Connection, run_id: str, usage: Iterable[Row], run: Row, rollup: Rollup
) -> dict[str, Any]:
    """Update the repriced values of a run; called before its new costs are stored.

    Args:
        connection: a connection in a transaction that has locked the run's row.
        run_id: id of the run.
        usage: its new stage rows.
        run: its new row.
        rollup: the rollup from which both are made.

    Returns:
        Values that replace those of the new row; empty for a run that was never repriced.
    """
    stored = _stored(connection, run_id)
    if all(row["repriced_pico"] is None for row in stored.values()):
        return {}
    for row in usage:
        known = stored.get(_key(row))
        if known is not None and known["repriced_pico"] is not None:
            repriced = known["repriced_pico"] + row["cost_pico"] - known["cost_pico"]
            is_this = sa.and_(*(stage_usage.c[name] == row[name] for name in _KEY))
            connection.execute(stage_usage.update().where(is_this).values(repriced_pico=repriced))
    return _run_change(connection, run_id, run, rollup, sum(row["unpriced"] for row in stored.values()))


def _stored(connection: Connection, run_id: str) -> dict[tuple[Any, ...], Row]:
    query = sa.select(stage_usage).where(stage_usage.c.run_id == run_id)
    return {_key(row): row for row in map(dict, connection.execute(query).mappings())}


def _run_change(
    connection: Connection, run_id: str, run: Row, rollup: Rollup, unpriced_before: int
) -> dict[str, Any]:
    query = sa.select(runs.c.cost_pico, runs.c.repriced_pico, runs.c.unpriced).where(runs.c.run_id == run_id)
    before = connection.execute(query).one()
    settled = unpriced_before - before.unpriced
    unpriced = max(run["unpriced"] - settled, 0)
    return {
        "repriced_pico": before.repriced_pico + run["cost_pico"] - before.cost_pico,
        "unpriced": unpriced,
        "cost_complete": rollup.is_complete(unpriced),
    }


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)
