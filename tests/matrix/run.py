"""Try every cell with the ``openai`` of this environment, and write what became of each as a line of JSON.

Usage::

    python -m tests.matrix.run --service http://127.0.0.1:8080 --database sqlite:///host.sqlite --spool spool

Telemetry is set up as an application does it. The last line tells the metrics, and the errors of ours that
nobody saw.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy import Engine, event

import telemetry
from telemetry._guard import internal_errors
from telemetry.settings import Settings

from .cells import Cell, cells
from .clients import Clients
from .driving import Trial, Tried, drive, drive_async

AT_ONCE = 24
"""Calls under way at the same time."""


def main() -> None:
    given = _arguments()
    reader = InMemoryMetricReader()
    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider([reader]))
    with _refusing() as nobody:
        clients = Clients(given.service, nobody)
        clients.make_early()
        telemetry.setup_telemetry(
            Settings(database_url=given.database, spool_dir=given.spool, hmac_key="any", shutdown_seconds=60)
        )
        for line in _try_all(clients):
            print(json.dumps(line))
    if not telemetry.shutdown():
        raise SystemExit("not everything reached the database in a minute")
    print(json.dumps({"metrics": _totals(reader), "internal_errors": internal_errors()}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--spool", type=Path, required=True)
    return parser.parse_args()


@contextmanager
def _refusing() -> Iterator[str]:
    """Give an address at which nobody listens, and nobody can while this is open."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@event.listens_for(Engine, "connect")
def _hurry(connection: Any, _: object) -> None:
    """Do not wait for the disk: what a power cut would lose here, nobody misses."""
    connection.execute("PRAGMA synchronous = OFF")


def _try_all(clients: Clients) -> list[dict[str, Any]]:
    """Try all cells, one sort of client after the other, and describe each."""
    every = list(cells())
    absent = [cell for cell in every if cell.kind.absent_from(clients.of(cell))]
    trials = [Trial(cell, clients.of(cell), openai.VERSION) for cell in every if cell not in absent]
    gc.freeze()  # dropped streams are collected often, and what is there by now never goes
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lines = list(pool.map(_try, [trial for trial in trials if not trial.cell.is_async]))
    lines += asyncio.run(_try_async([trial for trial in trials if trial.cell.is_async]))
    return lines + [_absent(cell) for cell in absent]


def _try(trial: Trial) -> dict[str, Any]:
    return _line(trial.cell, drive(trial))


async def _try_async(trials: list[Trial]) -> list[dict[str, Any]]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(trial: Trial) -> dict[str, Any]:
        async with places:
            return _line(trial.cell, await drive_async(trial))

    return list(await asyncio.gather(*map(one, trials)))


def _line(cell: Cell, tried: Tried) -> dict[str, Any]:
    return {"cell": cell.name, "run_id": tried.run_id, "raised": tried.raised}


def _absent(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.name, "absent": f"openai {openai.VERSION} has no client.{cell.kind.needs}"}


def _totals(reader: InMemoryMetricReader) -> dict[str, float]:
    """Return the sum of each counter, and of unaccounted calls by reason."""
    sums: Counter[str] = Counter()
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    reason = (point.attributes or {}).get("reason") or (point.attributes or {}).get("kind")
                    sums[f"{metric.name}/{reason}" if reason else metric.name] += getattr(point, "value", 0)
    return dict(sums)


if __name__ == "__main__":
    main()
