"""Marks runs as interrupted whose process died."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.rollup.snapshot import NewerSnapshot, Snapshot
from exporters.sql.database.engine import PERMANENT, transaction
from exporters.sql.database.fitting import UNFIT
from exporters.sql.schema import tables

from .runs import Delivered, deliver

_log = logging.getLogger("telemetry")


def interrupt_process(engine: Engine, process_id: str) -> list[Delivered]:
    """Mark the fragments of a dead process that are open in the database as interrupted."""
    return _interrupt(engine, tables.fragments.c.process_id == process_id)


def interrupt_stale(engine: Engine, age: timedelta) -> list[Delivered]:
    """Mark open fragments as interrupted of which no snapshot arrived for ``age``, by the database's clock.

    Their process may have died together with its disk. If it is alive, its next snapshot removes the mark.
    """
    with transaction(engine) as connection:
        now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
    return _interrupt(engine, tables.fragments.c.seen_at < now - age)


def _interrupt(engine: Engine, which: sa.ColumnElement[bool]) -> list[Delivered]:
    """Mark open fragments one by one, so that a failure does not affect the others."""
    table = tables.fragments
    unmarked = table.c.interrupted_seq.is_distinct_from(table.c.seq)
    with transaction(engine) as connection:
        query = sa.select(table.c.state).where(which, table.c.closed_at.is_(None), unmarked)
        states = [state for (state,) in connection.execute(query) if state]
    delivered = []
    for state in states:
        try:
            delivered.append(deliver(engine, replace(Snapshot.from_json(state), interrupted=True)))
        except NewerSnapshot:
            continue  # a process of that version will mark it
        except (*PERMANENT, *UNFIT) as error:
            _log.error("telemetry could not mark a run as interrupted (%s)", type(error).__name__)
    return delivered
