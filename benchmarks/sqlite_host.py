"""How long a host on SQLite waits for our transactions: ``python -m benchmarks.sqlite_host``.

Six processes analyse at the same time and write as a host does: a row for the analysis, its files, its end
and its user. They take turns with six that do the same without telemetry, on a database of the same size. The
figure is the difference between the 90th percentiles of the slowest write of an analysis.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

import telemetry
from exporters.sql.schema import migrate
from telemetry.settings import Settings
from telemetry.testing import recording

PROCESSES: Final = 6
ANALYSES: Final = 20
"""Analyses of each process in each round."""
ROUNDS: Final = 3
TARGET: Final = 0.5
"""Seconds by which the 90th percentile may be higher with telemetry than without."""


def main() -> None:
    """Measure, and print the figures."""
    waits: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(ROUNDS):
        for arm, found in waits.items():
            found += _measure(has_telemetry=arm == "with")
    for arm, found in waits.items():
        print(f"{arm:<8} {_row(found)}")
    longer = _tenth(waits["with"]) - _tenth(waits["without"])
    result = {
        "name": "sqlite_host",
        "tenth_waited_longer_s": round(longer, 3),
        "max_s": {arm: round(max(found), 3) for arm, found in waits.items()},
        "target": TARGET,
        "met": longer <= TARGET,
    }
    print(json.dumps(result))


def _row(waits: list[float]) -> str:
    over = sum(wait > 1 for wait in waits)
    return (
        f"median {statistics.median(waits):6.3f} s   nine in ten below {_tenth(waits):6.3f} s   "
        f"max {max(waits):6.3f} s   over 1 s: {over} of {len(waits)}"
    )


def _tenth(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=10)[-1]


def _measure(has_telemetry: bool) -> list[float]:
    """Return the seconds of each analysis's slowest write."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/host.sqlite"
        migrate.upgrade(url, with_base_tables=True)
        spool = folder if has_telemetry else "-"
        command = (sys.executable, "-m", "benchmarks.sqlite_host", url, spool)
        started = [
            subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True)
            for number in range(1, PROCESSES + 1)
        ]
        return [wait for each in started for wait in json.loads(each.communicate()[0])]


class Application:
    """A host, whose writes are transactions as SQLAlchemy and the driver make them."""

    def __init__(self, url: str, number: int) -> None:
        """Set up one of several processes, with a user of its own."""
        self._engine = sa.create_engine(url)
        self._user = number
        self._slowest = 0.0
        row = "id, email, password_hash, name, created_at"
        values = "(:id, :email, 'x', 'n', CURRENT_TIMESTAMP)"
        self._write(f"INSERT INTO users ({row}) VALUES {values}", id=number, email=f"{number}@example.com")

    def analyse(self, analysis: int) -> float:
        """Analyse for about half a second; return how long the slowest write took."""
        self._slowest = 0.0
        with telemetry.run("analysis", user_id=self._user, analysis_id=analysis, candidates=2):
            columns = "id, user_id, num_candidates, num_criteria, cost_usd, created_at"
            values = "(:id, :user, 2, 1, 1, CURRENT_TIMESTAMP)"
            self._write(f"INSERT INTO analyses ({columns}) VALUES {values}", id=analysis, user=self._user)
            for name in ("a.pdf", "b.pdf"):
                with telemetry.stage("ranking"), telemetry.document(name, size=5) as document:
                    time.sleep(0.2)
                    document.score(0.5)
            columns = "analysis_id, file_name, file_bytes, extracted_text, created_at"
            values = "(:id, :name, 'x', 't', CURRENT_TIMESTAMP)"
            for name in ("a.pdf", "b.pdf"):
                self._write(
                    f"INSERT INTO candidate_files ({columns}) VALUES {values}", id=analysis, name=name
                )
        self._write("UPDATE analyses SET job_title = 'done' WHERE id = :id", id=analysis)
        self._write("UPDATE users SET name = 'm' WHERE id = :id", id=self._user)
        return self._slowest

    def _write(self, statement: str, **values: Any) -> None:
        started = time.monotonic()
        with self._engine.begin() as connection:
            connection.execute(sa.text(statement), values)
        self._slowest = max(self._slowest, time.monotonic() - started)


def application(url: str, spool: str, number: int) -> None:
    """Run as one process of the application; print how long each analysis waited."""
    settings = Settings(database_url=url, spool_dir=Path(spool), hmac_key="k", integrity_seconds=0)
    host = Application(url, number)
    with nullcontext() if spool == "-" else recording(settings):
        print(json.dumps([host.analyse(number * 1000 + at) for at in range(ANALYSES)]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        application(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
