"""Whether what the tables say is consistent: the rules, and the rows that break them.

Each rule is a query for the ids of its offenders. A rule that cannot be asked of a database, because its host
has no such columns, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from .database import create_engine, transaction

SHOWN: Final = 20
"""Offenders that are named, at most."""

SUMS: Final = (
    ("api_calls", "calls"),
    *((name, name) for name in ("attempts", "rate_limit_hits", "rate_limit_retries", "other_retries")),
    *((name, name) for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")),
    *((name, name) for name in ("reasoning_tokens", "cost_pico")),
)
"""Columns of a run, and those of its stages that add up to them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds in a database that is in order."""

    name: str
    meaning: str
    id_name: str
    """What the ids of its offenders are ids of."""
    offenders: str
    """Query for them; its first column is the id."""
    needs: tuple[tuple[str, str], ...] = ()
    """Columns of the host's, by table, without which it cannot be asked."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that does not hold."""

    rule: Rule
    count: int
    ids: tuple[str, ...]
    """Of the first offenders."""


RULES: Final = (
    Rule(
        "orphaned_warnings",
        "a warning belongs to an analysis and a user that are there",
        "document_warnings.id",
        """SELECT w.id FROM document_warnings w
        WHERE (w.analysis_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM analyses a WHERE a.id = w.analysis_id))
        OR (w.user_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = w.user_id))""",
    ),
    Rule(
        "timing_of_analyses",
        "an analysis with a duration has a beginning and an end",
        "analyses.id",
        """SELECT id FROM analyses WHERE processing_duration_seconds IS NOT NULL
        AND (completed_at IS NULL OR created_at IS NULL)""",
        (("analyses", "processing_duration_seconds"), ("analyses", "completed_at")),
    ),
    Rule(
        "score_bands",
        "the candidates of the three score bands are the candidates that were scored",
        "telemetry_runs.run_id",
        "SELECT run_id FROM telemetry_runs WHERE above_70 + from_50_to_70 + below_50 <> n_scored",
    ),
    Rule(
        "scored_candidates",
        "no more documents were scored, failed or were duplicates than there were",
        "telemetry_runs.run_id",
        "SELECT run_id FROM telemetry_runs WHERE n_scored + n_duplicates > n_documents AND shed = 0",
    ),
    Rule(
        "stages_sum_to_the_run",
        "calls, tokens and cost of a run are the sums of its stages",
        "telemetry_runs.run_id",
        f"""SELECT run.run_id FROM telemetry_runs run LEFT JOIN (
          SELECT run_id, {", ".join(f"SUM({theirs}) AS {theirs}" for _, theirs in SUMS)}
          FROM telemetry_stage_usage WHERE operation <> '' GROUP BY run_id
        ) part ON part.run_id = run.run_id
        WHERE {" OR ".join(f"run.{mine} <> COALESCE(part.{theirs}, 0)" for mine, theirs in SUMS)}""",
    ),
    Rule(
        "runs_sum_to_the_analysis",
        "an analysis that is not archived shows the calls of all its runs",
        "analyses.id",
        """SELECT a.id FROM analyses a JOIN telemetry_added_objects o
          ON o.table_name = 'analyses' AND o.object_name = 'api_calls_made'
        JOIN (
          SELECT analysis_ref, SUM(api_calls) AS calls FROM telemetry_runs
          WHERE analysis_ref IS NOT NULL AND NOT analysis_gone AND kind <> 'import' AND projected_version > 0
          GROUP BY analysis_ref HAVING SUM(CASE WHEN projected_version < version THEN 1 ELSE 0 END) = 0
        ) run ON run.analysis_ref = a.id
        WHERE a.api_calls_made <> run.calls AND NOT EXISTS (
          SELECT 1 FROM telemetry_archived_runs archived WHERE archived.analysis_ref = a.id
        )""",
        (("analyses", "api_calls_made"),),
    ),
    Rule(
        "archived_once",
        "a run that is in an archive is not in the tables any more",
        "telemetry_runs.run_id",
        """SELECT run.run_id FROM telemetry_runs run
        JOIN telemetry_archived_runs archived ON archived.run_id = run.run_id""",
    ),
    Rule(
        "times_of_runs",
        "a run ends after it began, and lasts no negative time",
        "telemetry_runs.run_id",
        """SELECT run_id FROM telemetry_runs
        WHERE ended_at < started_at OR duration_us < 0 OR queue_wait_us < 0""",
    ),
    Rule(
        "complete_costs",
        "a cost is complete only if every call told its tokens, had a price and ended",
        "telemetry_runs.run_id",
        """SELECT run_id FROM telemetry_runs
        WHERE cost_complete AND (unpriced > 0 OR usage_missing > 0 OR unfinished > 0)""",
    ),
    Rule(
        "negative_sums",
        "nothing is counted below zero",
        "telemetry_runs.run_id",
        f"SELECT run_id FROM telemetry_runs WHERE {' OR '.join(f'{mine} < 0' for mine, _ in SUMS)}",
    ),
    Rule(
        "ended_runs",
        "a run that is over has no part that goes on",
        "telemetry_runs.run_id",
        """SELECT run.run_id FROM telemetry_runs run
        WHERE run.status IN ('completed', 'partial_failure') AND EXISTS (
          SELECT 1 FROM telemetry_fragments part WHERE part.run_id = run.run_id AND part.is_root
          AND part.closed_at IS NULL
        )""",
    ),
)
"""All rules; the first three are those of the requirements."""


def broken(engine: Engine, shown: int = SHOWN) -> Iterator[Broken]:
    """Yield the rules that do not hold, each with its first offenders.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        for rule in asked(connection):
            count = connection.scalar(sa.text(f"SELECT COUNT(*) FROM ({rule.offenders}) offender")) or 0
            if count:
                query = sa.text(f"{rule.offenders} ORDER BY 1 LIMIT {shown}")
                ids = tuple(str(row[0]) for row in connection.execute(query))
                yield Broken(rule, count, ids)


def asked(connection: Connection) -> Iterator[Rule]:
    """Yield the rules that this database can be asked about."""
    inspector = sa.inspect(connection)
    for rule in RULES:
        columns = {table: {c["name"] for c in inspector.get_columns(table)} for table, _ in rule.needs}
        if all(column in columns[table] for table, column in rule.needs):
            yield rule


def validate(database_url: str) -> list[Broken]:
    """Return the rules that do not hold in a database."""
    engine = create_engine(database_url, for_reading=True)
    try:
        return list(broken(engine))
    finally:
        engine.dispose()
