"""Panels are fast on 100,000 analyses, because those of a short period read only its runs."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from grafana.parts.dashboard import DAYS
from grafana.parts.expansion import Moment, expand
from tests.choice import whole_matrix
from tests.grafana.conftest import Database, database
from tests.grafana.dashboards import ALL, Target, sql_targets
from tests.postgres import TemporaryPostgres

pytestmark = pytest.mark.timeout(900)  # the first test waits for the analyses

ANALYSES = 100_000
SECONDS = 1.0
KNOWN_QUERY = "SELECT sum(n) FILTER (WHERE n % 7 = 0) FROM generate_series(1, 1000000) AS n"
KNOWN_SECONDS = 0.2
"""How long the known query takes on a processor that is not disturbed, or less."""
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"segment": "power", "batch_size": "medium"},
    {"model": "gpt-4o-mini"},
    {"user": "1"},
)
LONGEST = [Moment.last(max(DAYS), ALL | chosen) for chosen in FILTERS]
MOMENTS = [*LONGEST, *(Moment.last(days, ALL) for days in DAYS if days != max(DAYS))]
"""The longest period with and without filters, and the other periods."""
REPEATED = "whether work was repeated depends on later runs of any time"
FIRST = "the first job of a user may be of any time"
READS_ALL = {
    "analysis-cost: Cost of one A": REPEATED,
    "analysis-cost: What became of the money A": REPEATED,
    "analysis-cost: Wasted A": REPEATED,
    "analysis-cost: Cost per job and candidate over time A": REPEATED,
    "analysis-users: Users A": FIRST,
    "analysis-users: New and returning users per week A": FIRST,
    "analysis-users: Retention A": FIRST,
}
"""Queries that may read all runs for 7 days, with the reason."""

Reader = psycopg.Connection[tuple[object, ...]]
Plan = dict[str, Any]
"""A node of a plan, as PostgreSQL explains it in JSON."""


@pytest.fixture(scope="module")
def made(postgres: TemporaryPostgres) -> Iterator[Database]:
    """A database with many analyses, and statistics of them."""
    with database(postgres, ANALYSES, documents_days=60) as made:
        yield made


def execute(made: Database, statement: str) -> None:
    """Run a statement as the owner of a database."""
    with sa.create_engine(made.url, poolclass=sa.NullPool).begin() as owner:
        owner.exec_driver_sql(statement)


@pytest.fixture
def large(made: Database) -> Iterator[Reader]:
    """A connection in the role of dashboards; all work is done in one process."""
    with psycopg.connect(made.reader_url, autocommit=True) as reader:
        reader.execute(b"SET max_parallel_workers_per_gather = 0")
        yield reader


@pytest.mark.parametrize("target", sql_targets(), ids=lambda target: target.name)
def test_a_query_is_fast(large: Reader, target: Target) -> None:
    """D21: in the longest period, and in all; with and without filters."""
    for moment in MOMENTS if whole_matrix() else LONGEST:
        query = expand(target.sql, moment)
        fast = taken(large, query) < SECONDS or any(taken(large, query) < limit(large) for _ in range(3))
        assert fast, moment


def limit(reader: Reader) -> float:
    """Return how many seconds of the processor a query may take: more while others slow it down."""
    return SECONDS * max(1.0, taken(reader, KNOWN_QUERY) / KNOWN_SECONDS)


def taken(reader: Reader, query: str) -> float:
    """Return the processor time that the database uses for a query, in seconds."""
    started = used(reader)
    reader.execute(query.encode()).fetchall()
    return used(reader) - started


def used(reader: Reader) -> float:
    """Return the processor time that the database has used for a connection, in seconds."""
    status = Path(f"/proc/{reader.info.backend_pid}/stat")
    if not status.exists():  # no Linux
        return time.perf_counter()
    fields = status.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_plan_aggregates_all_runs_for_each_row(made: Database, large: Reader) -> None:
    """D21: with and without statistics, which are missing after a bulk load; alone and in parallel."""
    for statistics in ("DELETE FROM pg_statistic", "ANALYZE"):
        execute(made, statistics)
        for processes in (0, 2):
            large.execute(f"SET max_parallel_workers_per_gather = {processes}".encode())
            for target, moment in itertools.product(sql_targets(), MOMENTS):
                query = f"EXPLAIN (FORMAT JSON) {expand(target.sql, moment)}"
                explained: Any = large.execute(query.encode()).fetchall()[0][0]
                assert not list(repeated(explained[0]["Plan"])), (target.name, moment)


def repeated(node: Plan) -> Iterator[Plan]:
    """Yield what a loop would aggregate anew for each row."""
    parts = node.get("Plans", [])
    inner = [part for part in parts if part["Parent Relationship"] == "Inner"]
    if node["Node Type"] == "Nested Loop" and any(aggregates(part) for part in inner):
        yield node
    for part in parts:
        yield from repeated(part)


def aggregates(node: Plan) -> bool:
    """Return whether a part of a plan aggregates many rows each time it is asked."""
    if node["Node Type"] in {"Materialize", "CTE Scan"}:
        return False
    return "Aggregate" in node["Node Type"] or any(aggregates(part) for part in node.get("Plans", []))


def test_a_short_period_reads_only_its_runs(large: Reader) -> None:
    """D23: by the index on time, but for queries that need all runs."""
    reading = set()
    for target in sql_targets():
        query = expand(target.sql, Moment.last(7, ALL | {"analysis": "7"}))
        plan = large.execute(f"EXPLAIN {query}".encode()).fetchall()
        if any("Seq Scan on telemetry_runs" in str(line) for (line,) in plan):
            reading.add(target.name)
    assert reading <= READS_ALL.keys()
