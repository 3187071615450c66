"""Run the whole matrix with one version of ``openai``, and judge it."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.sql.schema import tables
from tests.environments import ROOT
from tests.matrix.arrivals import hashed
from tests.matrix.cells import Cell, cells
from tests.matrix.environments import Environment
from tests.matrix.judging import Line, Verdict, judge


class RunFailed(Exception):
    """The runner failed; the message is its output."""


@dataclass
class Results:
    """The results of all cells with one version of ``openai``."""

    openai: str
    verdicts: dict[Cell, Verdict]
    rows: list[dict[str, Any]]
    """All rows of ``telemetry_runs``."""
    stages: list[dict[str, Any]]
    """All rows of ``telemetry_stage_usage`` about calls."""
    metrics: dict[str, float]
    """Sums over all cells; unaccounted calls by reason, tokens by kind."""
    internal_errors: dict[str, int]
    stderr: str
    """The standard error of the runner."""

    def red(self, row: str | None = None) -> list[str]:
        """Return a line for each cell, of all rows or of one, that is not accounted correctly."""
        return [
            f"{cell.name}: {'; '.join(verdict.complaints)}"
            for cell, verdict in self.verdicts.items()
            if verdict.complaints and row in (None, cell.row)
        ]


def run_matrix(
    environment: Environment,
    standin: StandIn,
    database: Path,
    spool: Path,
    *,
    outcomes: Collection[str] = (),
    options: Sequence[str] = (),
) -> Results:
    """Try every cell.

    Args:
        environment: The environment to run in.
        standin: The stand-in, with the fault rules of the outcomes and an empty ledger.
        database: A migrated SQLite file without rows.
        spool: An empty directory.
        outcomes: The outcomes to try; default: all.
        options: Further options of the runner.

    Raises:
        EnvironmentFailed: The environment could not be created.
        RunFailed: The runner failed.
    """
    python, url = environment.python(), f"sqlite:///{database}"
    given = ["--service", standin.azure_endpoint, "--database", url, "--spool", str(spool), *options]
    given += [word for outcome in outcomes for word in ("--outcome", outcome)]
    done = subprocess.run(
        [str(python), "-m", "tests.matrix.run", *given], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RunFailed(f"openai {environment.openai}: {done.stderr.strip()}")
    *tried, last = map(json.loads, done.stdout.splitlines())
    rows = _rows(url, tables.runs)
    return Results(
        openai=environment.openai,
        verdicts=_judge_all(tried, rows, _ledger(standin)),
        rows=rows,
        stages=[row for row in _rows(url, tables.stage_usage) if row["operation"]],
        metrics=last["metrics"],
        internal_errors=last["internal_errors"],
        stderr=done.stderr,
    )


def _judge_all(
    tried: Iterable[Line], rows: Iterable[dict[str, Any]], ledger: dict[str, list[Line]]
) -> dict[Cell, Verdict]:
    known, by_run = {cell.name: cell for cell in cells()}, {row["run_id"]: row for row in rows}
    verdicts = {}
    for line in tried:
        cell = known[line["cell"]]
        verdicts[cell] = judge(cell, line, by_run.get(line.get("run_id", "")), ledger[hashed(cell.api_key)])
    return verdicts


def _rows(url: str, table: sa.Table) -> list[dict[str, Any]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def _ledger(standin: StandIn) -> dict[str, list[Line]]:
    """Return the lines of the ledger by key, once it no longer grows."""
    attempts: list[Line] = []
    while len(attempts) != len(attempts := standin.ledger()["attempts"]):
        time.sleep(0.2)
    by_key: dict[str, list[Line]] = defaultdict(list)
    for attempt in attempts:
        by_key[attempt["authorization"]].append(attempt)
    return by_key
