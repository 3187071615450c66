"""How long panels take on 100,000 analyses: ``python -m benchmarks.dashboards [ANALYSES]``.

The analyses are those of ``examples.screener.history``, over three years, on PostgreSQL; those of the last
60 days have documents. Every query of every panel is asked in the role for dashboards, for 7, 30, 90 and 365
days, without filters and with a segment, a batch size and a model. The second time counts. Those that read
all runs for 7 days, instead of using the index on time, are listed: they are about the first job of a user,
and about work that was repeated.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import Final

import psycopg

from grafana.parts.dashboard import DAYS
from grafana.parts.expansion import Moment, expand
from tests.grafana.conftest import database
from tests.grafana.dashboards import ALL, sql_targets
from tests.postgres import TemporaryPostgres

TARGET: Final = 1.0
"""Seconds per query."""
CHOICES: Final = (
    ALL,
    ALL | {"segment": "power", "batch_size": "medium"},
    ALL | {"model": "gpt-4o-mini"},
)

Reader = psycopg.Connection[tuple[object, ...]]


def main() -> None:
    """Measure, and print the slowest panels."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    queries = {target.name: target.sql for target in sql_targets()}
    with TemporaryPostgres() as server, database(server, count, documents_days=60) as made:
        with psycopg.connect(made.reader_url, autocommit=True) as reader:
            seconds = {name: _slowest(reader, query) for name, query in queries.items()}
            ((documents,),) = reader.execute(b"SELECT count(*) FROM telemetry_run_documents").fetchall()
            scans = [name for name, query in queries.items() if reads_all(reader, query)]
    for name in sorted(seconds, key=lambda name: -seconds[name])[:15]:
        print(f"{name:<60}{seconds[name]:8.3f} s")
    result = {
        "name": "dashboards",
        "analyses": count,
        "queries": len(seconds),
        "reading_all_runs": scans,
        "documents": documents,
        "median": round(median(seconds.values()), 3),
        "slowest": round(max(seconds.values()), 3),
        "target": TARGET,
        "met": max(seconds.values()) <= TARGET,
    }
    print(json.dumps(result))


def reads_all(reader: Reader, query: str) -> bool:
    """Return whether a query about 7 days reads the runs of all time."""
    plan = reader.execute(f"EXPLAIN {expand(query, Moment.last(7, ALL))}".encode()).fetchall()
    return any("Seq Scan on telemetry_runs" in str(line) for (line,) in plan)


def _slowest(reader: Reader, query: str) -> float:
    """Return the longest time of a query over all periods and choices."""
    return max(
        _timed(reader, expand(query, Moment.last(days, chosen))) for chosen in CHOICES for days in DAYS
    )


def _timed(reader: Reader, query: str) -> float:
    reader.execute(query.encode()).fetchall()
    started = time.perf_counter()
    reader.execute(query.encode()).fetchall()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
