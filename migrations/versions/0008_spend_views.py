"""What the money was spent on: useful work, and each kind of waste.

The views read our own tables only: a view over the host's would stand in the way of the host's migrations.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

DELIVERED = (
    "other.kind = 'analysis' AND NOT other.synthetic AND other.status IN ('completed', 'partial_failure')"
)
# Ids of deleted analyses come back on SQLite: then the row is another one.
SAME_ANALYSIS = """other.analysis_ref = run.analysis_ref AND other.analysis_gone = run.analysis_gone
        AND COALESCE(other.analysis_created_at = run.analysis_created_at, TRUE)"""
SAME_SUBJECT = "other.subject = run.subject AND COALESCE(other.user_ref, -1) = COALESCE(run.user_ref, -1)"
LATER = """(other.started_at > run.started_at
        OR (other.started_at = run.started_at AND other.run_id > run.run_id))"""
UNDER_WAY = "other.kind = 'analysis' AND NOT other.synthetic AND other.status = 'running'"


def exists(*conditions: str) -> str:
    return f"EXISTS (SELECT 1 FROM telemetry_runs other WHERE {' AND '.join(conditions)})"


def for_same_work(*conditions: str) -> str:
    """Two searches, so that each has its index."""
    return f"({exists(SAME_ANALYSIS, *conditions)}\n      OR {exists(SAME_SUBJECT, *conditions)})"


VIEWS = {
    "telemetry_run_spend": f"""
SELECT run.run_id, run.kind, run.status, run.user_ref, run.analysis_ref, run.analysis_gone, run.subject,
  run.started_at,
  CASE
    WHEN run.kind = 'orphan' THEN 'orphan'
    WHEN run.status IN ('running', 'failed', 'cancelled', 'interrupted') THEN run.status
    WHEN run.kind = 'late' THEN 'late'
    WHEN run.kind = 'intake' AND NOT {for_same_work(f"(({DELIVERED}) OR ({UNDER_WAY}))")}
      THEN 'unused_intake'
    WHEN run.kind = 'analysis' AND {for_same_work(DELIVERED, LATER)}
      THEN 'repeated'
    ELSE 'useful'
  END AS spend_class,
  CASE WHEN run.kind <> 'import' THEN COALESCE(run.repriced_pico, run.cost_pico) END AS cost_pico,
  run.cost_complete, run.candidates, run.criteria, run.above_70, run.n_failed, run.n_duplicates
FROM telemetry_runs run
WHERE NOT run.synthetic
""",
    "telemetry_spend": """
SELECT date(started_at) AS day, spend_class, COUNT(*) AS runs,
  SUM(CASE WHEN cost_complete THEN 0 ELSE 1 END) AS incomplete_runs,
  SUM(cost_pico) AS cost_pico,
  SUM(CASE WHEN kind = 'analysis' THEN COALESCE(candidates, 0) ELSE 0 END) AS candidates,
  SUM(CASE WHEN kind = 'analysis' THEN COALESCE(criteria, 0) ELSE 0 END) AS criteria,
  SUM(CASE WHEN kind = 'analysis' THEN above_70 ELSE 0 END) AS above_70,
  SUM(n_failed) AS failed_documents, SUM(n_duplicates) AS duplicate_documents
FROM telemetry_run_spend
GROUP BY date(started_at), spend_class
""",
    "telemetry_analysis_spend": """
SELECT spend.analysis_ref, spend.runs, spend.incomplete_runs, spend.cost_pico, spend.wasted_pico,
  last.candidates, last.criteria, last.above_70,
  spend.cost_pico / 1e12 / NULLIF(last.candidates, 0) AS cost_per_candidate,
  spend.cost_pico / 1e12 / NULLIF(last.criteria, 0) AS cost_per_criterion,
  spend.cost_pico / 1e12 / NULLIF(last.above_70, 0) AS cost_per_candidate_above_70
FROM (
  SELECT analysis_ref, COUNT(*) AS runs, SUM(CASE WHEN cost_complete THEN 0 ELSE 1 END) AS incomplete_runs,
    SUM(cost_pico) AS cost_pico,
    SUM(CASE WHEN spend_class IN ('useful', 'late', 'running') THEN 0 ELSE cost_pico END) AS wasted_pico
  FROM telemetry_run_spend
  WHERE analysis_ref IS NOT NULL AND NOT analysis_gone
  GROUP BY analysis_ref
) spend
LEFT JOIN telemetry_runs last ON last.run_id = (
  SELECT other.run_id FROM telemetry_runs other
  WHERE other.analysis_ref = spend.analysis_ref AND NOT other.analysis_gone AND NOT other.synthetic
    AND other.kind = 'analysis' AND other.status IN ('completed', 'partial_failure')
  ORDER BY other.started_at DESC, other.run_id DESC LIMIT 1
)
""",
}


def upgrade() -> None:
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW IF EXISTS {name}")
