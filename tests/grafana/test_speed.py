"""Panels are fast on 100,000 analyses, because those of a short period read only its runs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from grafana.parts.dashboard import DAYS
from grafana.parts.expansion import Moment, expand
from tests.grafana.columns import CHOSEN
from tests.grafana.conftest import database
from tests.grafana.dashboards import Target, sql_targets
from tests.postgres import TemporaryPostgres

pytestmark = pytest.mark.timeout(900)  # the first test waits for the analyses

ANALYSES = 100_000
SECONDS = 1.0
TRIES = 5
"""How often a query may be asked, because the machine may be busy."""
CHOICES: tuple[dict[str, str], ...] = (
    {},
    {"segment": "power", "batch_size": "medium"},
    {"model": "gpt-4o-mini"},
    {"user": "1"},
)
READS_ALL: dict[str, str] = {}
"""Queries that read all runs for 7 days, with the reason."""

Reader = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def large(postgres: TemporaryPostgres) -> Iterator[Reader]:
    """A connection to a database with many analyses, in the role of dashboards."""
    with database(postgres, ANALYSES, documents_days=60) as made:
        with psycopg.connect(made.reader_url, autocommit=True) as reader:
            yield reader


@pytest.mark.parametrize("target", sql_targets(), ids=lambda target: target.name)
def test_a_query_is_fast(large: Reader, target: Target) -> None:
    """D21: in every period, with and without filters; the best time of a few counts."""
    for chosen in CHOICES:
        for days in DAYS:
            query = expand(target.sql, Moment.last(days, {**CHOSEN, "analysis": "", **chosen})).encode()
            assert fastest(large, query) < SECONDS, (days, chosen)


def fastest(reader: Reader, query: bytes) -> float:
    """Return the shortest time of a query, which is asked again only if it was slow."""
    best = float("inf")
    for _ in range(TRIES):
        started = time.perf_counter()
        reader.execute(query).fetchall()
        best = min(best, time.perf_counter() - started)
        if best < SECONDS:
            break
    return best


def test_a_short_period_reads_only_its_runs(large: Reader) -> None:
    """D23: by the index on time, but for queries that need all runs."""
    reading = set()
    for target in sql_targets():
        query = expand(target.sql, Moment.last(7, {**CHOSEN, "analysis": "7"}))
        plan = large.execute(f"EXPLAIN {query}".encode()).fetchall()
        if any("Seq Scan on telemetry_runs" in str(line) for (line,) in plan):
            reading.add(target.name)
    assert reading == READS_ALL.keys()
