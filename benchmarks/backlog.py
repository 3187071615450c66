"""What a run costs while many wait for a database that is down: ``python -m benchmarks.backlog``.

One process makes runs of one call each, first with an empty spool, then with 20,000 runs waiting in it. It
measures the processor time of the whole process, background threads included, per run. The figure is
the ratio of the medians of short series.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import telemetry
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Fragment, call
from tests.postgres import free_port

TARGET: Final = 1.5
WAITING: Final = 20_000
SERIES: Final = 20
RUNS: Final = 20


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/nothing"
        settings = Settings(database_url=url, spool_dir=Path(folder), hmac_key="k", shutdown_seconds=0)
        with recording(settings) as pipeline:
            _seconds_a_run()
            empty = _seconds_a_run()
            for _ in range(WAITING):
                pipeline.spool.put(Fragment(kind="intake").calls(call()).close())
            _seconds_a_run()
            full = _seconds_a_run()
    print(f"nothing waits {1000 * empty:6.2f} ms a run")
    print(f"{WAITING:,} wait  {1000 * full:6.2f} ms a run")
    ratio = full / empty
    print(json.dumps({"name": "backlog", "ratio": round(ratio, 3), "target": TARGET, "met": ratio <= TARGET}))


def _seconds_a_run() -> float:
    return statistics.median(_series() for _ in range(SERIES))


def _series() -> float:
    started = time.process_time()
    for _ in range(RUNS):
        with telemetry.run("intake"):
            telemetry.count("app_retries")
        time.sleep(0.01)  # the writer is woken by each
    return (time.process_time() - started) / RUNS


if __name__ == "__main__":
    main()
