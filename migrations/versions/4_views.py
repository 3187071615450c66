"""What the money was spent on, and what dashboards ask about jobs, users, warnings, stages and days.

The views read our own tables only: a view over the host's would block the host's migrations. So what is
needed of the host's rows is copied into ours when they are written.
"""

from __future__ import annotations

from alembic import op

revision = "4_views"
down_revision = "3_host_columns"

# Of a run: what is known, and what it counts as

LATELY = {
    "postgresql": "timezone('utc', now()) - interval '30 days'",
    "sqlite": "datetime('now', '-30 days')",
}

ERRORS_OF_A_RUN = {
    "postgresql": (
        "part.stage, part.type AS error_type, part.count AS errors",
        "json_to_recordset(CAST(run.error_types AS json)) AS part(stage text, type text, count bigint)",
    ),
    "sqlite": (
        """json_extract(part.value, '$.stage') AS stage, json_extract(part.value, '$.type') AS error_type,
  json_extract(part.value, '$.count') AS errors""",
        "json_each(run.error_types) part",
    ),
}
"""The errors of a run as rows, from JSON: their columns and their source."""

COST = "COALESCE(run.repriced_pico, run.cost_pico)"
IS_SEEN = """(person.cost_pico > 0 OR EXISTS (
    SELECT 1 FROM telemetry_runs run
    WHERE run.user_ref = person.user_ref AND run.kind <> 'import' AND NOT run.synthetic
  ))"""
"""Whether telemetry has seen anything of a user; the cost of history is unknown."""
KNOWN = "run.unclosed = 0 AND run.shed = 0 AND run.status <> 'running'"
"""Whether all documents of a run are known: they travel in the last snapshot of a fragment."""


def batch_size(candidates: str) -> str:
    return f"""CASE WHEN COALESCE({candidates}, 0) < 1 THEN 'none' WHEN {candidates} <= 50 THEN 'small'
    WHEN {candidates} <= 150 THEN 'medium' ELSE 'large' END"""


def seen(*columns: str) -> str:
    """Return a column that is NULL for history, where nobody counted it."""
    return ", ".join(f"CASE WHEN run.kind <> 'import' THEN run.{name} END AS {name}" for name in columns)


def known(*columns: str) -> str:
    """Return a column that is NULL for a run whose documents are not all known."""
    return ", ".join(f"CASE WHEN {KNOWN} THEN run.{name} END AS {name}" for name in columns)


def seen_and_known(*columns: str) -> str:
    is_both = f"run.kind <> 'import' AND {KNOWN}"
    return ", ".join(f"CASE WHEN {is_both} THEN run.{name} END AS {name}" for name in columns)


def seconds(microseconds: str) -> str:
    """Return seconds as PostgreSQL computes them fastest, for hundreds of thousands of rows."""
    return f"{microseconds} / CAST(1e6 AS DOUBLE PRECISION)"


def scores(*columns: str) -> str:
    """Return scores with their digits, which PostgreSQL drops in a CASE."""
    return ", ".join(
        f"CAST(CASE WHEN {KNOWN} THEN run.{name} END AS NUMERIC(5,4)) AS {name}" for name in columns
    )


def has_warning(condition: str) -> str:
    return f"""EXISTS (SELECT 1 FROM document_warnings warning WHERE warning.analysis_id = run.analysis_ref
    AND NOT run.analysis_gone AND {condition})"""


def segments(lately: str) -> str:
    return f"""COALESCE(person.created_at >= {lately}, FALSE) AS is_new_user,
  COALESCE(person.last_run_at >= {lately}, FALSE) AS is_active_user,
  COALESCE(person.jobs >= 10, FALSE) AS is_power_user"""


# What the money was spent on: useful work, and each kind of waste

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
    """Return two conditions as two queries, so that each can use its index."""
    return f"({exists(SAME_ANALYSIS, *conditions)}\n      OR {exists(SAME_SUBJECT, *conditions)})"


SPEND = {
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
  run.cost_complete, run.candidates, run.criteria, {batch_size("run.candidates")} AS batch_size,
  {known("n_scored", "above_70", "n_failed", "n_duplicates")}
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
    "telemetry_analysis_spend": f"""
SELECT spend.analysis_ref, spend.runs, spend.incomplete_runs, spend.cost_pico, spend.wasted_pico,
  run.candidates, run.criteria, {known("above_70")},
  spend.cost_pico / 1e12 / NULLIF(run.candidates, 0) AS cost_per_candidate,
  spend.cost_pico / 1e12 / NULLIF(run.criteria, 0) AS cost_per_criterion,
  spend.cost_pico / 1e12 / NULLIF(CASE WHEN {KNOWN} THEN run.above_70 END, 0) AS cost_per_candidate_above_70
FROM (
  SELECT analysis_ref, COUNT(*) AS runs, SUM(CASE WHEN cost_complete THEN 0 ELSE 1 END) AS incomplete_runs,
    SUM(cost_pico) AS cost_pico,
    SUM(CASE WHEN spend_class IN ('useful', 'late', 'running') THEN 0 ELSE cost_pico END) AS wasted_pico
  FROM telemetry_run_spend
  WHERE analysis_ref IS NOT NULL AND NOT analysis_gone
  GROUP BY analysis_ref
) spend
LEFT JOIN telemetry_runs run ON run.run_id = (
  SELECT other.run_id FROM telemetry_runs other
  WHERE other.analysis_ref = spend.analysis_ref AND NOT other.analysis_gone AND NOT other.synthetic
    AND other.kind = 'analysis' AND other.status IN ('completed', 'partial_failure')
  ORDER BY other.started_at DESC, other.run_id DESC LIMIT 1
)
""",
}


# Jobs, users, warnings, stages and days


def figures(lately: str) -> dict[str, str]:
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
SELECT run.run_id, run.kind, run.analysis_ref, run.user_ref, run.status, run.status_reason,
  run.started_at, run.ended_at, date(run.started_at) AS day,
  {seconds("run.duration_us")} AS duration_seconds, {seconds("run.queue_wait_us")} AS queue_wait_seconds,
  run.candidates, run.criteria, {batch_size("run.candidates")} AS batch_size,
  run.jd_bytes, run.jd_characters, {known("n_documents")},
  {seen_and_known("n_scored", "n_failed", "n_duplicates")},
  {known("resume_bytes", "resume_characters", "resume_characters_min", "resume_characters_max")},
  {scores("score_avg", "score_median", "score_min", "score_max")},
  {seen_and_known("above_70", "from_50_to_70", "below_50")},
  {seen("api_calls", "attempts", "rate_limit_hits", "rate_limit_retries", "other_retries")},
  {seen("quota_hits", "spend_limit_hits")},
  CASE WHEN run.kind <> 'import' THEN {seconds("run.backoff_us")} END AS backoff_seconds,
  {seen("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")},
  CASE WHEN run.kind <> 'import' THEN {COST} END AS cost_pico,
  CASE WHEN run.kind <> 'import' THEN {COST} / 1e12 END AS cost_dollars, run.cost_complete,
  run.price_pico,
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
        "telemetry_stages": f"""
SELECT run.run_id, run.kind, run.user_ref, run.started_at, date(run.started_at) AS day,
  part.stage, part.operation, part.model, part.service_tier, part.price_source, part.price_version,
  part.calls, part.attempts, part.errors, part.rate_limit_hits, part.rate_limit_retries, part.other_retries,
  part.quota_hits, part.spend_limit_hits,
  {seconds("part.backoff_us")} AS backoff_seconds, {seconds("part.duration_us")} AS duration_seconds,
  {seconds("part.opened_us")} AS opened_seconds, {seconds("part.closed_us")} AS closed_seconds,
  part.input_tokens, part.output_tokens, part.cached_tokens, part.cache_write_tokens, part.reasoning_tokens,
  COALESCE(part.repriced_pico, part.cost_pico) AS cost_pico,
  COALESCE(part.repriced_pico, part.cost_pico) / 1e12 AS cost_dollars,
  CASE WHEN part.repriced_pico IS NULL THEN part.saved_pico END AS saved_pico,
  CASE WHEN part.repriced_pico IS NULL THEN part.output_pico END AS output_pico,
  part.unpriced, part.unmodelled, part.usage_missing
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


# Documents without their names, errors by type, and what is wrong with a job


def counter(name: str) -> str:
    return f"""COALESCE((SELECT counted.value FROM telemetry_counters counted
    WHERE counted.run_id = run.run_id AND counted.name = '{name}'), 0)"""


def details(columns: str, errors: str) -> dict[str, str]:
    return {
        "telemetry_run_documents": f"""
SELECT run.run_id, run.kind, run.analysis_ref, run.user_ref, run.status, run.started_at,
  {batch_size("run.candidates")} AS batch_size,
  file.ordinal, file.type, file.size_bytes, file.characters, file.chunk_count,
  {seconds("file.extraction_us")} AS extraction_seconds, {seconds("file.analysis_us")} AS analysis_seconds,
  CASE WHEN file.extraction_us IS NOT NULL OR file.analysis_us IS NOT NULL
    THEN {seconds("(COALESCE(file.extraction_us, 0) + COALESCE(file.analysis_us, 0))")}
    END AS processing_seconds,
  file.score, file.outcome, file.error_type, file.fallback, run.trace_id
FROM telemetry_documents file
JOIN telemetry_runs run ON run.run_id = file.run_id
WHERE NOT run.synthetic
""",
        "telemetry_errors": f"""
SELECT run.run_id, run.kind, run.analysis_ref, run.user_ref, run.status, run.started_at,
  {columns}, run.trace_id
FROM telemetry_runs run, {errors}
WHERE run.error_types IS NOT NULL AND NOT run.synthetic
""",
        "telemetry_job_issues": f"""
SELECT job.run_id, job.started_at, job.has_failed, job.app_retries, job.fallbacks, job.response_seconds,
  job.seconds_per_candidate,
  job.response_seconds > 5 AS has_slow_answers, job.seconds_per_candidate > 5 AS is_slow,
  job.app_retries > 5 AS has_many_retries, job.fallbacks > 3 AS has_many_fallbacks,
  (job.has_failed OR job.app_retries > 5 OR job.fallbacks > 3 OR COALESCE(job.response_seconds > 5, FALSE)
    OR COALESCE(job.seconds_per_candidate > 5, FALSE)) AS has_issue
FROM (
  SELECT run.run_id, run.started_at, run.status IN ('failed', 'interrupted', 'partial_failure') AS has_failed,
    {counter("app_retries")} AS app_retries,
    {counter("fallbacks")} AS fallbacks,
    (SELECT {seconds("SUM(part.duration_us)")} / NULLIF(SUM(part.calls), 0) FROM telemetry_stage_usage part
      WHERE part.run_id = run.run_id AND part.operation <> '') AS response_seconds,
    {seconds("run.duration_us")} / NULLIF(run.candidates, 0) AS seconds_per_candidate
  FROM telemetry_runs run
  WHERE run.kind = 'analysis' AND NOT run.synthetic AND run.status <> 'running'
) job
""",
    }


def views(dialect: str) -> dict[str, str]:
    return {**SPEND, **figures(LATELY[dialect]), **details(*ERRORS_OF_A_RUN[dialect])}


def upgrade() -> None:
    for name, query in views(op.get_context().dialect.name).items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in reversed(views(op.get_context().dialect.name)):
        op.execute(f"DROP VIEW IF EXISTS {name}")
