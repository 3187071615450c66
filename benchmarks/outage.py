"""What a database that is down costs the host: ``python -m benchmarks.outage``.

Two processes take turns with the same analysis of 100 candidates, one chat call each: one delivers to
PostgreSQL, the other to a server that is always down. Checkpoints are taken every tenth of a second
instead of every five, so that the writer works during every run. The calls are answered in memory after a
millisecond. The elapsed time of the whole analysis is measured.

The figure is the median of the ratios of neighbouring analyses. Memory is the resident size of the process
whose database is down, after the first third of its runs and after the last.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from openai import OpenAI

import telemetry
from exporters.sql.schema import migrate
from telemetry.settings import Settings
from telemetry.setup.process import setup_telemetry
from tests.postgres import TemporaryPostgres, free_port

from ._chat import answered_client, call

TARGET: Final = 1.02
PAIRS: Final = 30
WARM_UP: Final = 5
CANDIDATES: Final = 100
CALL_SECONDS: Final = 0.001
MEGABYTE: Final = 2**20


class Run(NamedTuple):
    """Measurements of one analysis."""

    seconds: float
    memory: int
    """Resident size of the process afterwards, in bytes."""


def main() -> None:
    """Measure, and print the figures."""
    with TemporaryPostgres() as server, tempfile.TemporaryDirectory() as folder:
        migrate.upgrade(server.url(), with_base_tables=True)
        down = f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/nothing"
        with _host(server.url(), Path(folder, "up")) as up, _host(down, Path(folder, "down")) as away:
            pairs = [_pair(up, away, number) for number in range(-WARM_UP, PAIRS)][WARM_UP:]
    ratio = statistics.median(away.seconds / up.seconds for up, away in pairs)
    memory = [away.memory for _, away in pairs]
    for name, runs in zip(("up", "down"), zip(*pairs, strict=True), strict=True):
        print(
            f"database {name:<5} median {1000 * statistics.median(run.seconds for run in runs):7.1f} ms a run"
        )
    print(
        f"memory, database down: {memory[PAIRS // 3] / MEGABYTE:.1f} MB, then {memory[-1] / MEGABYTE:.1f} MB"
    )
    result = {
        "name": "outage",
        "ratio": round(ratio, 3),
        "target": TARGET,
        "met": ratio <= TARGET,
        "memory_growth_percent": round(100 * memory[-1] / memory[PAIRS // 3] - 100, 1),
    }
    print(json.dumps(result))


class Host:
    """A process that runs an analysis for each line that it gets."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self) -> Run:
        """Run one analysis, and return its measurements."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return Run(*json.loads(self._process.stdout.readline()))


@contextmanager
def _host(url: str, spool: Path) -> Iterator[Host]:
    command = [sys.executable, "-m", "benchmarks.outage", "--host", url, str(spool)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Host(process)
        process.kill()


def _pair(up: Host, away: Host, number: int) -> tuple[Run, Run]:
    """Run one analysis in each process; they take turns in being first."""
    if number % 2:
        second = away.run()
        return up.run(), second
    return up.run(), away.run()


def _serve(url: str, spool: str) -> None:
    """Run as the host: one analysis for each line of standard input."""
    setup_telemetry(
        Settings(database_url=url, spool_dir=Path(spool), hmac_key="benchmark", checkpoint_seconds=0.1)
    )
    with answered_client() as client:
        for _ in sys.stdin:
            started = time.perf_counter()
            _analyse(client)
            print(json.dumps([time.perf_counter() - started, _resident()]), flush=True)


def _analyse(client: OpenAI) -> None:
    with telemetry.run("analysis", user_id=1, candidates=CANDIDATES), telemetry.stage("ranking"):
        for number in range(CANDIDATES):
            with telemetry.document(f"{number}.pdf", size=60_000, characters=3_000) as document:
                call(client)
                time.sleep(CALL_SECONDS)
                document.score(number % 101, out_of=100)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--host"]:
        _serve(*sys.argv[2:])
    else:
        main()
