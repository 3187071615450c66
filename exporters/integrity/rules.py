"""The rules that hold in a consistent database, each a query for the ids of the rows that break it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SUMS: Final = (
    ("api_calls", "calls"),
    *((name, name) for name in ("attempts", "rate_limit_hits", "rate_limit_retries", "other_retries")),
    *((name, name) for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")),
    *((name, name) for name in ("reasoning_tokens", "cost_pico", "quota_hits", "spend_limit_hits")),
)
"""Columns of a run, and the columns of its stages that add up to them."""

LONG_AGO: Final = "{long_ago}"
"""Placeholder in a query for an hour ago: what lags for less is still being delivered."""
_LONG_AGO: Final = {
    "postgresql": "timezone('utc', now()) - interval '1 hour'",
    "sqlite": "datetime('now', '-1 hour')",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that holds in a consistent database."""

    name: str
    meaning: str
    id_name: str
    """The column that the ids of the offending rows are from."""
    offenders: str
    """Query for the rows that break the rule; its first column is their id."""
    needs: tuple[tuple[str, str], ...] = ()
    """Host columns, with their tables, without which the rule cannot be checked."""
    condition: str = ""
    """Condition of rows of telemetry_runs that break it; rules with one are counted in one pass."""

    def query(self, dialect: str) -> str:
        """Return the query for the offending rows, in the SQL of a dialect."""
        return self.offenders.replace(LONG_AGO, _LONG_AGO[dialect])


def _rule_of_a_run(name: str, meaning: str, condition: str) -> Rule:
    """Return a rule about single rows of telemetry_runs."""
    query = f"SELECT run_id FROM telemetry_runs WHERE {condition}"
    return Rule(name, meaning, "telemetry_runs.run_id", query, condition=condition)


def _sum_of(column: str) -> str:
    """Return the sum of a column: of money exactly, of anything else as a double, which is exact up to 2**53.

    Exact sums take PostgreSQL a quarter longer, and more memory.
    """
    return f"SUM({column})" if column == "cost_pico" else f"SUM(CAST({column} AS DOUBLE PRECISION))"


_STAGES_BESIDE_RUNS: Final = f"""SELECT run_id FROM (
  SELECT run_id, {", ".join(column for _, column in SUMS)} FROM telemetry_stage_usage WHERE operation <> ''
  UNION ALL SELECT run_id, {", ".join(f"-{column}" for column, _ in SUMS)} FROM telemetry_runs
) entry GROUP BY run_id HAVING {" OR ".join(f"{_sum_of(column)} <> 0" for _, column in SUMS)}"""
"""Runs whose sums differ from those of their stages: what is left when one is subtracted from the other.

Both tables are read once, in physical order; a join would read them in the order of run ids, which are
random.
"""


_USERS_BESIDE_RUNS: Final = """SELECT kept.user_ref FROM telemetry_users kept LEFT JOIN (
  SELECT user_ref, SUM(CASE WHEN user_version < version THEN 1 ELSE 0 END) AS behind,
    SUM(CASE WHEN kind IN ('analysis', 'import') THEN 1 ELSE 0 END) AS jobs,
    SUM(CASE WHEN kind IN ('analysis', 'import') THEN candidates END) AS candidates,
    SUM(COALESCE(repriced_pico, cost_pico)) AS cost_pico
  FROM telemetry_runs WHERE user_ref IS NOT NULL AND NOT synthetic GROUP BY user_ref
) run ON run.user_ref = kept.user_ref
WHERE COALESCE(run.behind, 0) = 0 AND (
  kept.jobs <> COALESCE(run.jobs, 0) + COALESCE(kept.archived_jobs, 0)
  OR kept.candidates <> COALESCE(run.candidates, 0) + COALESCE(kept.archived_candidates, 0)
  OR kept.cost_pico <> COALESCE(run.cost_pico, 0) + COALESCE(kept.archived_cost_pico, 0)
)"""
"""Users whose totals differ from the sums of their runs.

Users with a run that is not included yet are left out: their totals are about to change.
"""


RULES: Final = (
    Rule(
        "orphaned_warnings",
        "the analysis and the user of a warning exist",
        "document_warnings.id",
        """SELECT w.id FROM document_warnings w
        WHERE (w.analysis_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM analyses a WHERE a.id = w.analysis_id))
        OR (w.user_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = w.user_id))""",
        (("analyses", "id"), ("users", "id")),
    ),
    Rule(
        "timing_of_analyses",
        "an analysis with a duration has a beginning and an end",
        "analyses.id",
        """SELECT id FROM analyses WHERE processing_duration_seconds IS NOT NULL
        AND (completed_at IS NULL OR created_at IS NULL)""",
        (
            ("analyses", "processing_duration_seconds"),
            ("analyses", "completed_at"),
            ("analyses", "created_at"),
        ),
    ),
    _rule_of_a_run(
        "score_bands",
        "the candidates of the three score bands are the candidates that were scored",
        "above_70 + from_50_to_70 + below_50 <> n_scored",
    ),
    _rule_of_a_run(
        "scored_candidates",
        "no more documents were scored, failed or were duplicates than there were",
        "n_scored + n_duplicates > n_documents AND shed = 0",
    ),
    Rule(
        "stages_sum_to_the_run",
        "calls, tokens and cost of a run are the sums of its stages",
        "telemetry_runs.run_id",
        _STAGES_BESIDE_RUNS,
    ),
    Rule(
        "runs_sum_to_the_analysis",
        "an analysis that is not archived shows the calls of all its runs",
        "analyses.id",
        # Joined before the sums: both sides come sorted from their indexes, and no hash table is needed.
        """SELECT a.id FROM analyses a JOIN telemetry_runs run ON run.analysis_ref = a.id
        WHERE NOT run.analysis_gone AND run.kind <> 'import' AND run.projected_version > 0 AND EXISTS (
          SELECT 1 FROM telemetry_added_objects
          WHERE table_name = 'analyses' AND object_name = 'api_calls_made'
        ) AND NOT EXISTS (
          SELECT 1 FROM telemetry_archived_runs archived WHERE archived.analysis_ref = a.id
        )
        GROUP BY a.id, a.api_calls_made
        HAVING SUM(CASE WHEN run.projected_version < run.version THEN 1 ELSE 0 END) = 0
        AND SUM(run.api_calls) <> a.api_calls_made""",
        (("analyses", "api_calls_made"),),
    ),
    Rule(
        "runs_sum_to_the_user",
        "totals of a user are the sums of the runs, archived ones included",
        "telemetry_users.user_ref",
        _USERS_BESIDE_RUNS,
    ),
    Rule(
        "archived_once",
        "a run that is in an archive is not in the tables",
        "telemetry_runs.run_id",
        """SELECT run.run_id FROM telemetry_runs run
        JOIN telemetry_archived_runs archived ON archived.run_id = run.run_id""",
    ),
    Rule(
        "analyses_show_their_runs",
        "an analysis shows its runs within an hour; flask telemetry doctor says why it does not",
        "analyses.id",
        f"""SELECT a.id FROM analyses a JOIN telemetry_runs run ON run.analysis_ref = a.id
        WHERE run.projected_version < run.version AND NOT run.analysis_gone AND NOT run.synthetic
        AND (run.status <> 'running' OR run.projected_version > 0) AND run.seen_at < {LONG_AGO}
        GROUP BY a.id""",
        (("analyses", "id"),),
    ),
    Rule(
        "users_show_their_runs",
        "a user's totals hold the user's runs within an hour; flask telemetry doctor says why they do not",
        "users.id",
        f"""SELECT u.id FROM users u JOIN telemetry_runs run ON run.user_ref = u.id
        WHERE run.user_version < run.version AND NOT run.synthetic AND run.status <> 'running'
        AND run.seen_at < {LONG_AGO} GROUP BY u.id""",
        (("users", "id"),),
    ),
    _rule_of_a_run(
        "times_of_runs",
        "a run does not end before it began, and no duration is negative",
        "ended_at < started_at OR duration_us < 0 OR queue_wait_us < 0",
    ),
    _rule_of_a_run(
        "complete_costs",
        "a cost is complete only if the run was closed, and all its calls ended, with tokens and a price",
        "cost_complete AND (unpriced > 0 OR usage_missing > 0 OR unfinished > 0 OR unclosed > 0)",
    ),
    _rule_of_a_run(
        "negative_sums",
        "no count or sum is negative",
        " OR ".join(f"{column} < 0" for column, _ in SUMS),
    ),
    Rule(
        "ended_runs",
        "a run that has ended has no open fragment",
        "telemetry_runs.run_id",
        """SELECT run.run_id FROM telemetry_runs run
        WHERE run.status IN ('completed', 'partial_failure') AND run.kind <> 'orphan' AND EXISTS (
          SELECT 1 FROM telemetry_fragments part WHERE part.run_id = run.run_id AND part.is_root
          AND part.closed_at IS NULL
        )""",
    ),
)
"""All rules; the first three are those of the requirements."""
