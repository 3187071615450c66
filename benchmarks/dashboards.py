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
from datetime import UTC, datetime
from statistics import median
from typing import Final

import psycopg
import sqlalchemy as sa
from rich.console import Console

from examples.screener.demo.steps import Steps
from examples.screener.history import History, write
from exporters.sql.schema import migrate
from exporters.sql.schema.roles import role_sql
from grafana.parts.dashboard import DAYS
from grafana.parts.expansion import Moment, expand
from grafana.write import files
from tests.postgres import TemporaryPostgres

TARGET: Final = 1.0
"""Seconds per query."""
ROLE: Final = "dashboards"
NOTHING: Final = {"segment": "all", "batch_size": "all", "user": "all", "model": "all", "analysis": ""}
CHOICES: Final = (
    NOTHING,
    NOTHING | {"segment": "power", "batch_size": "medium"},
    NOTHING | {"model": "gpt-4o-mini"},
)


def main() -> None:
    """Measure, and print the slowest panels."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryPostgres() as server:
        _make(server.url(), count)
        plain = sa.make_url(server.url()).set(drivername="postgresql", username=ROLE)
        with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
            seconds = {name: _slowest(connection, query) for name, query in _queries().items()}
            ((documents,),) = connection.execute(b"SELECT count(*) FROM telemetry_run_documents").fetchall()
            scans = [name for name, query in _queries().items() if _reads_all(connection, query)]
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


def _make(url: str, count: int) -> None:
    migrate.upgrade(url, with_base_tables=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    history = History(count, datetime.now(UTC).date(), documents_days=60)
    with Steps(Console(highlight=False)) as steps:
        with steps.step(f"{count:,} analyses", count) as told:
            write(engine, history, told)
    with engine.begin() as connection:
        connection.execute(sa.text(role_sql(url, ROLE)))


def _queries() -> dict[str, str]:
    boards = [json.loads(text) for text in files().values()]
    return {
        f"{board['title']}: {panel['title']}": target["rawSql"]
        for board in boards
        for panel in board["panels"]
        for target in panel["targets"]
        if "rawSql" in target
    }


def _reads_all(connection: psycopg.Connection[tuple[object, ...]], query: str) -> bool:
    plan = connection.execute(f"EXPLAIN {expand(query, Moment.last(7, NOTHING))}".encode()).fetchall()
    return any("Seq Scan on telemetry_runs" in str(line) for (line,) in plan)


def _slowest(connection: psycopg.Connection[tuple[object, ...]], query: str) -> float:
    """Return the longest time of a query over all periods and choices."""
    return max(
        _timed(connection, expand(query, Moment.last(days, chosen))) for chosen in CHOICES for days in DAYS
    )


def _timed(connection: psycopg.Connection[tuple[object, ...]], query: str) -> float:
    connection.execute(query.encode()).fetchall()
    started = time.perf_counter()
    connection.execute(query.encode()).fetchall()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
