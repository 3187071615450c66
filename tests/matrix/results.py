"""Running the whole matrix with one version of ``openai``, and judging it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters import schema

from .cells import Cell, cells
from .environments import ROOT, Environment
from .judging import Line, Verdict, judge


class RunFailed(Exception):
    """The runner ended with an error; the message is what it wrote."""


@dataclass
class Results:
    """What came of all cells with one version of ``openai``."""

    openai: str
    verdicts: dict[Cell, Verdict] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """All rows of ``telemetry_runs``."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Sums over all cells; unaccounted calls by reason, tokens by kind."""
    internal_errors: dict[str, int] = field(default_factory=dict)
    said: str = ""
    """What the runner wrote to stderr."""

    def red(self, row: str | None = None) -> list[str]:
        """Return a line for each cell (of one row of the table) that is not accounted right."""
        return [
            f"{cell.name}: {'; '.join(verdict.complaints)}"
            for cell, verdict in self.verdicts.items()
            if verdict.complaints and row in (None, cell.row)
        ]


def run_matrix(environment: Environment, standin: StandIn, database: Path, spool: Path) -> Results:
    """Try every cell.

    Args:
        environment: Where.
        standin: The service, with the fault rules of the outcomes.
        database: A migrated SQLite file without rows.
        spool: An empty directory.

    Raises:
        EnvironmentFailed: The environment could not be made.
        RunFailed: The runner did not come to its end.
    """
    url = f"sqlite:///{database}"
    options = ["--service", standin.azure_endpoint, "--database", url, "--spool", str(spool)]
    done = subprocess.run(
        [str(environment.python()), "-m", "tests.matrix.run", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RunFailed(f"openai {environment.openai}: {done.stderr.strip()}")
    *tried, last = map(json.loads, done.stdout.splitlines())
    rows = _rows(url)
    verdicts = _judge_all(environment.openai, tried, rows, _ledger(standin))
    return Results(environment.openai, verdicts, rows, last["metrics"], last["internal_errors"], done.stderr)


def _judge_all(
    openai: str, tried: list[Line], rows: list[dict[str, Any]], ledger: dict[str, list[Line]]
) -> dict[Cell, Verdict]:
    by_name = {line["cell"]: line for line in tried}
    by_run = {row["run_id"]: row for row in rows}
    verdicts = {}
    for cell in cells():
        line = by_name[cell.name]
        secret = hashlib.sha256(cell.api_key(openai).encode()).hexdigest()[:32]
        verdicts[cell] = judge(cell, line, by_run.get(line.get("run_id", "")), ledger[secret])
    return verdicts


def _rows(url: str) -> list[dict[str, Any]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(schema.runs)).mappings()]


def _ledger(standin: StandIn) -> dict[str, list[Line]]:
    """Return the lines of the ledger by key, once nothing is added to it any more."""
    attempts: list[Line] = []
    while len(attempts) != len(attempts := standin.ledger()["attempts"]):
        time.sleep(0.2)
    found: dict[str, list[Line]] = defaultdict(list)
    for attempt in attempts:
        found[attempt["authorization"]].append(attempt)
    return found
