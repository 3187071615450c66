"""The figures in the database, read with plain SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from .errors import DemoError
from .figures import Figures

PICO = Decimal("1e-12")
KINDS = ("intake", "analysis", "late", "import")
STAGES = ("extraction", "criteria", "naming", "embedding", "similarity", "ranking", "insights", "db_write")
"""The stages, in the order in which they run."""

FIGURES = """
    SELECT SUM(api_calls) AS calls, SUM(attempts) AS attempts, SUM(rate_limit_hits) AS rate_limited,
        SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens,
        SUM(cached_tokens) AS cached_tokens, SUM(cost_pico) AS pico
    FROM telemetry_runs
"""
ANALYSES = """
    SELECT id, job_title, status, num_candidates, num_criteria, candidates_above_70_percent,
        candidates_50_to_70_percent, candidates_below_50_percent
    FROM analyses ORDER BY id
"""
# A stage's row with the operation '' holds the duration of the stage; its other rows hold the calls.
STAGE_USAGE = """
    SELECT kind, stage, SUM(CASE WHEN operation = '' THEN usage.duration_us ELSE 0 END) AS duration_us,
        SUM(calls) AS calls, SUM(usage.attempts) AS attempts, SUM(usage.rate_limit_hits) AS rate_limited,
        SUM(usage.input_tokens) AS input_tokens, SUM(usage.output_tokens) AS output_tokens,
        SUM(usage.cached_tokens) AS cached_tokens, SUM(usage.cost_pico) AS pico
    FROM telemetry_runs JOIN telemetry_stage_usage AS usage USING (run_id)
    WHERE analysis_ref = ? GROUP BY kind, stage
"""
RUNS = """
    SELECT kind, SUM(duration_us) AS duration_us, SUM(api_calls) AS calls, SUM(attempts) AS attempts,
        SUM(rate_limit_hits) AS rate_limited, SUM(input_tokens) AS input_tokens,
        SUM(output_tokens) AS output_tokens, SUM(cached_tokens) AS cached_tokens, SUM(cost_pico) AS pico
    FROM telemetry_runs WHERE analysis_ref = ? GROUP BY kind
"""
SCORES = """
    SELECT score FROM telemetry_documents JOIN telemetry_runs USING (run_id)
    WHERE analysis_ref = ? AND outcome = 'scored' AND NOT fallback ORDER BY score
"""
EVENTS = """
    SELECT name, SUM(value) AS value FROM telemetry_counters JOIN telemetry_runs USING (run_id)
    WHERE analysis_ref = ? GROUP BY name ORDER BY name
"""
RETRIES = """
    SELECT SUM(rate_limit_hits) AS rate_limited, SUM(rate_limit_retries) AS rate_limit_retries,
        SUM(other_retries) AS other_retries, SUM(backoff_us) AS backoff_us
    FROM telemetry_runs WHERE analysis_ref = ?
"""
UNSETTLED = """
    SELECT COUNT(*) FROM telemetry_runs WHERE status = 'running' OR projected_version < version
"""
UNACCOUNTED = """
    SELECT SUM(unpriced) AS unpriced, SUM(usage_missing) AS usage_missing, SUM(unfinished) AS unfinished
    FROM telemetry_runs
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Analysis:
    """One analysis with all its spending, from its intake to insights that are unlocked later."""

    row: Row
    """The row in `analyses`."""
    stages: list[Row]
    """One row for each kind of run and stage, in the order in which they run."""
    runs: dict[str, Row]
    """One row for each kind of run."""
    scores: list[float]
    """Scores of the scored candidates, 0 to 1."""
    events: dict[str, int]
    """The counters of the application."""
    retries: Row

    @property
    def id(self) -> int:
        """The id of the analysis."""
        return int(self.row["id"])


class Database:
    """The demo's database, opened for reading."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def figures(self) -> Figures:
        """Return the spending of all runs."""
        with self._reading() as connection:
            row = dict(connection.execute(FIGURES).fetchone())
        pico = row.pop("pico") or 0
        return Figures(**{name: value or 0 for name, value in row.items()}, dollars=pico * PICO)

    def is_settled(self) -> bool:
        """Return whether every run has ended, and its analysis shows it."""
        with self._reading() as connection:
            return not connection.execute(UNSETTLED).fetchone()[0]

    def unaccounted(self) -> dict[str, int]:
        """Return the number of calls whose cost is unknown, by reason."""
        with self._reading() as connection:
            row = dict(connection.execute(UNACCOUNTED).fetchone())
        return {reason: count for reason, count in row.items() if count}

    def analyses(self) -> list[Analysis]:
        """Return all analyses, in order."""
        with self._reading() as connection:
            rows = [dict(row) for row in connection.execute(ANALYSES)]
            return [_analysis(connection, row) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        except sqlite3.Error as error:
            raise DemoError(f"{self._path} cannot be read: {error}") from error
        finally:
            connection.close()


def _analysis(connection: sqlite3.Connection, row: Row) -> Analysis:
    def rows(query: str) -> list[Row]:
        return [dict(found) for found in connection.execute(query, (row["id"],))]

    return Analysis(
        row=row,
        stages=sorted(rows(STAGE_USAGE), key=_order),
        runs={found["kind"]: found for found in rows(RUNS)},
        scores=[float(found["score"]) for found in rows(SCORES)],
        events={found["name"]: found["value"] for found in rows(EVENTS)},
        retries=rows(RETRIES)[0],
    )


def _order(stage: Row) -> tuple[int, int]:
    name = stage["stage"]
    return KINDS.index(stage["kind"]), STAGES.index(name) if name in STAGES else len(STAGES)
