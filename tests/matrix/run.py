"""Try every cell with the ``openai`` of this environment, and print the result of each as a line of JSON.

Usage::

    python -m tests.matrix.run --service http://127.0.0.1:8080 --database sqlite:///host.sqlite --spool spool

Telemetry is set up as in an application. The last line has the metrics, and the internal errors that were
swallowed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from opentelemetry import context, metrics, propagate, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from sqlalchemy import Engine, event

import telemetry
from telemetry._internal.guard import internal_errors
from telemetry.settings import Settings
from tests.matrix.arrivals import Arrivals
from tests.matrix.cells import Cell, cells
from tests.matrix.clients import Clients
from tests.matrix.driving import Trial, Tried, drive, drive_async

BUSY_AT_ONCE = 8
"""Cells that run at the same time."""
SLOW_AT_ONCE = 24
"""Cells that consist mostly of waiting; each may use two of the stand-in's 48 threads."""


def main() -> None:
    given = _arguments()
    reader = InMemoryMetricReader()
    trace.set_tracer_provider(TracerProvider(sampler=ParentBased(TraceIdRatioBased(given.sampled))))
    metrics.set_meter_provider(MeterProvider([reader]))
    with _refusing() as nobody:
        clients = Clients(given.service, nobody)
        clients.make_early()
        telemetry.setup_telemetry(
            Settings(database_url=given.database, spool_dir=given.spool, hmac_key="any", shutdown_seconds=60)
        )
        if given.headers:
            context.attach(propagate.extract(json.loads(given.headers)))
        for line in asyncio.run(_try_all(clients, given.outcome)):
            print(json.dumps(line))
    if not telemetry.shutdown():
        raise SystemExit("not everything reached the database within a minute")
    print(json.dumps({"metrics": _totals(reader), "internal_errors": internal_errors()}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--sampled", type=float, default=1.0, help="share of the traces that are sampled")
    parser.add_argument("--headers", help="headers of a request in which everything happens, as JSON")
    parser.add_argument("--outcome", action="append", default=[], help="try this one; default: all of them")
    return parser.parse_args()


@contextmanager
def _refusing() -> Iterator[str]:
    """Reserve a port on which nothing listens, and yield its address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@event.listens_for(Engine, "connect")
def _hurry(connection: Any, _: object) -> None:
    """Do not wait for the disk, since these databases need not survive a power failure."""
    connection.execute("PRAGMA synchronous = OFF")


async def _try_all(clients: Clients, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Try the cells of the ``wanted`` outcomes, first the busy ones, then the slow ones."""
    every = [cell for cell in cells() if not wanted or cell.outcome.name in wanted]
    absent = [cell for cell in every if cell.kind.absent_from(clients.of(cell))]
    arrivals = Arrivals(clients.service)
    trials = [Trial(cell, clients.of(cell), arrivals) for cell in every if cell not in absent]
    gc.freeze()  # collections are frequent here; do not scan the objects that exist already
    lines = [_absent(cell) for cell in absent]
    with ThreadPoolExecutor(SLOW_AT_ONCE) as threads:
        for is_slow, at_once in ((False, BUSY_AT_ONCE), (True, SLOW_AT_ONCE)):
            places = asyncio.Semaphore(at_once)
            some = [trial for trial in trials if trial.cell.outcome.takes_long is is_slow]
            lines += await asyncio.gather(*(_try(trial, places, threads) for trial in some))
    return lines


async def _try(trial: Trial, places: asyncio.Semaphore, threads: ThreadPoolExecutor) -> dict[str, Any]:
    async with places:
        if trial.cell.is_async:
            return _line(trial.cell, await drive_async(trial))
        loop = asyncio.get_running_loop()
        return _line(trial.cell, await loop.run_in_executor(threads, drive, trial))


def _line(cell: Cell, tried: Tried) -> dict[str, Any]:
    return {"cell": cell.name, "run_id": tried.run_id, "raised": tried.raised}


def _absent(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.name, "absent": f"openai {openai.VERSION} has no client.{cell.kind.needs}"}


def _totals(reader: InMemoryMetricReader) -> dict[str, float]:
    """Return the sum of each counter, by reason or kind where it has such a label."""
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
