"""What dashboards, exports and reports ask about jobs, users, warnings, stages and days.

The views read our own tables only: a view over the host's would stand in the way of the host's migrations. So
what is needed of the host's rows is copied into ours when they are written.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION

revision = "0009"
down_revision = "0008"

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

users = sa.Table(
    "telemetry_users",
    metadata,
    sa.Column("user_ref", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("created_at", sa.DateTime()),
    sa.Column("jobs", sa.Integer(), nullable=False, server_default=sa.text("0")),
    sa.Column("candidates", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    sa.Column("cost_pico", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    sa.Column("largest_batch", sa.Integer()),
    sa.Column("last_run_at", sa.DateTime()),
)

LATELY = {
    "postgresql": "timezone('utc', now()) - interval '30 days'",
    "sqlite": "datetime('now', '-30 days')",
}


COST = "COALESCE(run.repriced_pico, run.cost_pico)"
IS_SEEN = """(person.cost_pico > 0 OR EXISTS (
    SELECT 1 FROM telemetry_runs run
    WHERE run.user_ref = person.user_ref AND run.kind <> 'import' AND NOT run.synthetic
  ))"""
"""Whether telemetry has seen anything of a user: of history nobody knows the cost."""


def batch_size(candidates: str) -> str:
    return f"""CASE WHEN COALESCE({candidates}, 0) < 1 THEN 'none' WHEN {candidates} <= 50 THEN 'small'
    WHEN {candidates} <= 150 THEN 'medium' ELSE 'large' END"""


def seen(*columns: str) -> str:
    """Of history, what nobody counted is unknown, and not 0."""
    return ", ".join(f"CASE WHEN run.kind <> 'import' THEN run.{name} END AS {name}" for name in columns)


def has_warning(condition: str) -> str:
    return f"""EXISTS (SELECT 1 FROM document_warnings warning WHERE warning.analysis_id = run.analysis_ref
    AND NOT run.analysis_gone AND {condition})"""


def segments(lately: str) -> str:
    return f"""COALESCE(person.created_at >= {lately}, FALSE) AS is_new_user,
  COALESCE(person.last_run_at >= {lately}, FALSE) AS is_active_user,
  COALESCE(person.jobs >= 10, FALSE) AS is_power_user"""


def views(lately: str) -> dict[str, str]:
    return {
        "telemetry_user_segments": f"""
SELECT person.user_ref, person.created_at, person.jobs, person.candidates,
  CASE WHEN {IS_SEEN} THEN person.cost_pico END AS cost_pico,
  CASE WHEN {IS_SEEN} THEN person.cost_pico / 1e12 END AS cost_dollars,
  person.largest_batch, person.last_run_at,
  {segments(lately)}
FROM telemetry_users person
""",
        "telemetry_jobs": f"""
SELECT run.run_id, run.kind, run.analysis_ref, run.user_ref, run.status,
  run.started_at, run.ended_at, date(run.started_at) AS day,
  run.duration_us / 1e6 AS duration_seconds, run.queue_wait_us / 1e6 AS queue_wait_seconds,
  run.candidates, run.criteria, {batch_size("run.candidates")} AS batch_size,
  run.jd_bytes, run.jd_characters, run.n_documents, {seen("n_scored", "n_failed", "n_duplicates")},
  run.resume_bytes, run.resume_characters, run.resume_characters_min, run.resume_characters_max,
  run.score_avg, run.score_median, run.score_min, run.score_max,
  {seen("above_70", "from_50_to_70", "below_50")},
  {seen("api_calls", "attempts", "rate_limit_hits", "rate_limit_retries", "other_retries")},
  CASE WHEN run.kind <> 'import' THEN run.backoff_us / 1e6 END AS backoff_seconds,
  {seen("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")},
  CASE WHEN run.kind <> 'import' THEN {COST} END AS cost_pico,
  CASE WHEN run.kind <> 'import' THEN {COST} / 1e12 END AS cost_dollars, run.cost_complete,
  {seen("error_count")}, run.error_types, run.trace_id, run.trace_sampled,
  COALESCE(run.exceeded_resume_limit, {has_warning("warning.warning_type = 'batch_too_large'")})
    AS exceeded_resume_limit,
  COALESCE(run.user_chose_override, {has_warning("warning.user_action = 'override'")}) AS user_chose_override,
  {segments(lately)}
FROM telemetry_runs run
LEFT JOIN telemetry_users person ON person.user_ref = run.user_ref
WHERE run.kind IN ('analysis', 'import') AND NOT run.synthetic
""",
        "telemetry_warnings": f"""
SELECT id AS warning_id, analysis_id AS analysis_ref, user_id AS user_ref, warning_type,
  warning_shown_at AS shown_at, date(warning_shown_at) AS day, user_action, document_count, document_size,
  {batch_size("document_count")} AS batch_size
FROM document_warnings
""",
        "telemetry_stages": """
SELECT run.run_id, run.kind, run.user_ref, run.started_at, date(run.started_at) AS day,
  part.stage, part.operation, part.model, part.service_tier, part.price_source, part.price_version,
  part.calls, part.attempts, part.errors, part.rate_limit_hits, part.rate_limit_retries, part.other_retries,
  part.backoff_us / 1e6 AS backoff_seconds, part.duration_us / 1e6 AS duration_seconds,
  part.input_tokens, part.output_tokens, part.cached_tokens, part.cache_write_tokens, part.reasoning_tokens,
  COALESCE(part.repriced_pico, part.cost_pico) AS cost_pico,
  COALESCE(part.repriced_pico, part.cost_pico) / 1e12 AS cost_dollars, part.unpriced, part.usage_missing
FROM telemetry_stage_usage part
JOIN telemetry_runs run ON run.run_id = part.run_id
WHERE NOT run.synthetic
""",
        "telemetry_health": """
SELECT log_date AS day, jobs_completed, jobs_failed, avg_processing_time AS mean_duration_seconds,
  total_api_spend AS cost_dollars, rate_limit_incidents, error_types, peak_concurrent_jobs,
  total_candidates_processed AS candidates, total_api_calls AS api_calls
FROM system_health_log
""",
    }


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    flags = [sa.Column(name, sa.Boolean()) for name in ("exceeded_resume_limit", "user_chose_override")]
    additions.columns("telemetry_runs", flags)
    additions.table(users)
    for name, query in views(LATELY[op.get_context().dialect.name]).items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(views("")):
        op.execute(f"DROP VIEW IF EXISTS {name}")
    Additions(op.get_context(), revision).drop()
