"""How long upkeep commands take on 1,000,000 analyses: ``python -m benchmarks.analytics [ANALYSES]``.

The analyses are those of ``examples.screener.history``, on PostgreSQL. Each command is run twice, in one
process, without its start-up; the second time counts. The whole export runs once; its figure is the number of
jobs that it writes per second.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console

from examples.screener.demo.steps import Steps
from examples.screener.history.history import History
from examples.screener.history.writing import write
from exporters.export.jobs import Export
from exporters.findings.insights import insights
from exporters.gauges.figures import DAYS, TODAY
from exporters.gauges.query import found
from exporters.integrity.validation import validate
from exporters.reports import report
from exporters.sql.database.engine import create_engine
from exporters.sql.schema import migrate
from exporters.upkeep.health_log import HealthCheck
from telemetry.settings import Settings
from tests.postgres import TemporaryPostgres

TARGET: Final = 5.0
"""Seconds per command."""
A_YEAR: Final = "health-check, a year"
"""Without a target: nobody needs 365 days at once every day."""


def main() -> None:
    """Measure, and print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with TemporaryPostgres() as server:
        _make(server.url(), count)
        settings = Settings(database_url=server.url(), hmac_key="benchmark", cache_seconds=0)
        seconds = {name: _timed(act) for name, act in _commands(settings).items()}
        rate = _export(server.url())
    for name, took in seconds.items():
        print(f"{name:<22}{took:8.2f} s")
    print(f"{'export':<22}{rate:8,.0f} jobs a second")
    worst = max(took for name, took in seconds.items() if name != A_YEAR)
    result = {
        "name": "analytics",
        "analyses": count,
        "seconds": {name: round(took, 2) for name, took in seconds.items()},
        "export_jobs_per_second": round(rate),
        "target": TARGET,
        "met": worst <= TARGET,
    }
    print(json.dumps(result))


def _make(url: str, count: int) -> None:
    migrate.upgrade(url, with_base_tables=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    history = History(count, datetime.now(UTC).date())
    with Steps(Console(highlight=False)) as steps:
        with steps.step(f"{count:,} analyses", count) as told:
            write(engine, history, told)


def _commands(settings: Settings) -> dict[str, Callable[[], Any]]:
    def health_check() -> None:
        with HealthCheck(settings) as check:
            check.tidy()
            list(check.log(check.yesterday()))

    def a_year_of_health() -> None:
        with HealthCheck(settings) as check:
            list(check.log(check.yesterday() - timedelta(days=364)))

    def gauges() -> None:
        reading = create_engine(settings.database_url, for_reading=True)
        found(reading, settings, (*TODAY, *DAYS))
        reading.dispose()

    return {
        "report of 30 days": lambda: report(settings, 30),
        "report of a year": lambda: report(settings, 365),
        "insights": lambda: insights(settings),
        "health-check": health_check,
        A_YEAR: a_year_of_health,
        "gauges": gauges,
        "validate": lambda: validate(settings.database_url),
    }


def _timed(act: Callable[[], Any]) -> float:
    act()
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _export(url: str) -> float:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Export(url) as jobs:
        with Path(folder, "jobs.csv").open("wb") as file:
            file.writelines(jobs.pieces("csv"))
        return jobs.exported / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
