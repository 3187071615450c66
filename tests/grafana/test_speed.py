"""Panels are fast on 100,000 analyses, because those of a short period read only its runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from grafana.parts.dashboard import DAYS
from grafana.parts.expansion import Moment, expand
from tests.grafana.conftest import database
from tests.grafana.dashboards import ALL, Target, sql_targets
from tests.postgres import TemporaryPostgres

pytestmark = pytest.mark.timeout(900)  # the first test waits for the analyses

ANALYSES = 100_000
SECONDS = 1.0
MOMENTS = (
    *(Moment.last(days, ALL) for days in DAYS),
    *(
        Moment.last(max(DAYS), ALL | chosen)
        for chosen in ({"segment": "power", "batch_size": "medium"}, {"model": "gpt-4o-mini"}, {"user": "1"})
    ),
)
"""All periods, and the longest one with filters."""
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


@pytest.fixture(scope="module")
def large(postgres: TemporaryPostgres) -> Iterator[Reader]:
    """A connection to a database with many analyses, in the role of dashboards."""
    with database(postgres, ANALYSES, documents_days=60) as made:
        with psycopg.connect(made.reader_url, autocommit=True) as reader:
            reader.execute(b"SET max_parallel_workers_per_gather = 0")  # all work in one process
            yield reader


@pytest.mark.parametrize("target", sql_targets(), ids=lambda target: target.name)
def test_a_query_is_fast(large: Reader, target: Target) -> None:
    """D21: in every period, with and without filters. The time of the processor counts: others may use it."""
    for moment in MOMENTS:
        query = expand(target.sql, moment).encode()
        started = used(large)
        large.execute(query).fetchall()
        assert used(large) - started < SECONDS, moment


def used(reader: Reader) -> float:
    """Return the processor time that the database has used for a connection, in seconds."""
    status = Path(f"/proc/{reader.info.backend_pid}/stat")
    if not status.exists():  # no Linux
        return time.perf_counter()
    fields = status.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_short_period_reads_only_its_runs(large: Reader) -> None:
    """D23: by the index on time, but for queries that need all runs."""
    reading = set()
    for target in sql_targets():
        query = expand(target.sql, Moment.last(7, ALL | {"analysis": "7"}))
        plan = large.execute(f"EXPLAIN {query}".encode()).fetchall()
        if any("Seq Scan on telemetry_runs" in str(line) for (line,) in plan):
            reading.add(target.name)
    assert reading <= READS_ALL.keys()
