"""A run in several processes has the rows of a run in one, in whatever order they deliver."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from exporters.rollup.snapshot import Snapshot
from exporters.sql.storage import runs as run_storage
from tests.choice import whole_matrix
from tests.exporters.makers import Host
from tests.exporters.test_rollup import Work, closed, divide, works

OF_THE_RUN = ("run_id", "document_key", "version", "seen_at")
"""Columns that differ from run to run, whatever was done in it."""
OF_THE_CLOCK = ("started_at", "ended_at", "duration_us")
"""Columns that differ when the same work is done in parallel."""


def rows(host: Host, table: str, run_id: str) -> list[dict[str, Any]]:
    """Return a run's rows of a table, in an order that does not depend on its id."""
    ignored = {*OF_THE_RUN, *OF_THE_CLOCK} if table == "telemetry_runs" else set(OF_THE_RUN)
    kept_columns = [
        {name: value for name, value in row.items() if name not in ignored}
        for row in host.rows(table, run_id=run_id)
    ]
    return sorted(kept_columns, key=repr)


@st.composite
def arrivals(draw: st.DrawFn, snapshots: list[Snapshot]) -> list[Snapshot]:
    """All snapshots in some order, some of them twice."""
    again = draw(st.lists(st.sampled_from(snapshots), max_size=4))
    return draw(st.permutations([*snapshots, *again]))


@pytest.mark.parametrize("host", ["sqlite", "psycopg"], indirect=True)
@settings(
    max_examples=25 if whole_matrix() else 10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(work=works, parts=st.integers(2, 4), data=st.data())
def test_any_order_of_delivery_makes_the_same_rows(
    host: Host, engine: Engine, work: Work, parts: int, data: st.DataObject
) -> None:
    """Checkpoints and final snapshots are mixed; the final one of the first process may come first."""
    alone, together = uuid4().hex, uuid4().hex
    for snapshot in closed(divide(work, 1, alone)):
        run_storage.deliver(engine, snapshot)
    fragments = divide(work, parts, together)
    checkpoints = [fragment.snapshot() for fragment in fragments]

    for snapshot in data.draw(arrivals([*checkpoints, *closed(fragments)])):
        run_storage.deliver(engine, snapshot)

    for table in ("telemetry_runs", "telemetry_stage_usage", "telemetry_counters", "telemetry_documents"):
        assert rows(host, table, together) == rows(host, table, alone), table
