"""The tables of telemetry: runs and their parts, users, warnings, archives, and daily tasks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION, HostIndex, utc_now

revision = "2_telemetry_tables"
down_revision = "1_base_tables"


def key(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), primary_key=True, server_default=sa.text("''"))


def sum_of(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))


def flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def score(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Numeric(5, 4, asdecimal=False))


metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

runs = sa.Table(
    "telemetry_runs",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("source", sa.String(20), nullable=False),
    sa.Column("synthetic", sa.Boolean(), nullable=False),
    sa.Column("subject", sa.String(255)),
    sa.Column("user_ref", sa.BigInteger()),
    sa.Column("analysis_ref", sa.BigInteger()),
    sa.Column("analysis_created_at", sa.DateTime()),
    sa.Column("analysis_seen_at", sa.DateTime()),
    flag("analysis_gone"),
    sa.Column("version", sa.BigInteger(), nullable=False),
    sum_of("projected_version"),
    sum_of("user_version"),
    count("files_pending"),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("started_at", sa.DateTime()),
    sa.Column("ended_at", sa.DateTime()),
    sa.Column("seen_at", sa.DateTime()),
    sa.Column("enqueued_at", sa.DateTime()),
    sa.Column("duration_us", sa.BigInteger()),
    sa.Column("queue_wait_us", sa.BigInteger()),
    sa.Column("candidates", sa.Integer()),
    sa.Column("criteria", sa.Integer()),
    sa.Column("jd_bytes", sa.BigInteger()),
    sa.Column("jd_characters", sa.BigInteger()),
    count("n_documents"),
    count("n_scored"),
    count("n_failed"),
    count("n_duplicates"),
    sa.Column("resume_bytes", sa.BigInteger()),
    sa.Column("resume_characters", sa.BigInteger()),
    sa.Column("resume_characters_min", sa.BigInteger()),
    sa.Column("resume_characters_max", sa.BigInteger()),
    score("score_avg"),
    score("score_median"),
    score("score_min"),
    score("score_max"),
    count("above_70"),
    count("from_50_to_70"),
    count("below_50"),
    sum_of("api_calls"),
    sum_of("attempts"),
    sum_of("rate_limit_hits"),
    sum_of("rate_limit_retries"),
    sum_of("other_retries"),
    sum_of("backoff_us"),
    sum_of("retry_after_us"),
    sum_of("input_tokens"),
    sum_of("output_tokens"),
    sum_of("cached_tokens"),
    sum_of("cache_write_tokens"),
    sum_of("reasoning_tokens"),
    sum_of("cost_pico"),
    sa.Column("repriced_pico", sa.BigInteger()),
    sa.Column("cost_complete", sa.Boolean(), nullable=False),
    count("unpriced"),
    count("usage_missing"),
    count("unfinished"),
    count("shed"),
    count("error_count"),
    sa.Column("error_types", sa.Text()),
    sa.Column("trace_id", sa.String(32)),
    sa.Column("trace_sampled", sa.Boolean()),
    sa.Column("exceeded_resume_limit", sa.Boolean()),
    sa.Column("user_chose_override", sa.Boolean()),
    sa.Column("price_pico", sa.BigInteger()),
    sa.Column("jd_type", sa.String(10)),
    sa.Column("status_reason", sa.String(128)),
    count("unclosed"),
    sum_of("quota_hits"),
    sum_of("spend_limit_hits"),
    count("unmodelled"),
)

sa.Index(None, runs.c.analysis_ref)
sa.Index(None, runs.c.started_at)
sa.Index(None, runs.c.subject)
sa.Index(
    None,
    runs.c.user_ref,
    postgresql_include=["status", "started_at", "candidates", "cost_pico"],
)
sa.Index(
    "ix_telemetry_runs_unprojected",
    runs.c.run_id,
    postgresql_where=runs.c.projected_version < runs.c.version,
    sqlite_where=runs.c.projected_version < runs.c.version,
)
sa.Index(
    "ix_telemetry_runs_unsummed",
    runs.c.user_ref,
    postgresql_where=runs.c.user_version < runs.c.version,
    sqlite_where=runs.c.user_version < runs.c.version,
)
sa.Index(
    "ix_telemetry_runs_without_files",
    runs.c.ended_at,
    postgresql_where=runs.c.files_pending > 0,
    sqlite_where=runs.c.files_pending > 0,
)
sa.Index(
    "ix_telemetry_runs_running",
    runs.c.seen_at,
    postgresql_where=runs.c.status == "running",
    sqlite_where=runs.c.status == "running",
)

fragments = sa.Table(
    "telemetry_fragments",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("fragment_id", sa.String(32), primary_key=True),
    sa.Column("seq", sa.BigInteger(), nullable=False),
    sa.Column("is_root", sa.Boolean(), nullable=False),
    sa.Column("process_id", sa.String(32), nullable=False),
    sa.Column("schema_v", sa.Integer(), nullable=False),
    sa.Column("opened_at", sa.DateTime()),
    sa.Column("closed_at", sa.DateTime()),
    sa.Column("seen_at", sa.DateTime()),
    sa.Column("interrupted_seq", sa.BigInteger()),
    sa.Column("state", sa.Text()),
)

sa.Index(
    "ix_telemetry_fragments_open",
    fragments.c.process_id,
    postgresql_where=fragments.c.closed_at.is_(None),
    sqlite_where=fragments.c.closed_at.is_(None),
)

stage_usage = sa.Table(
    "telemetry_stage_usage",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    key("stage", 64),
    key("operation", 32),
    key("model", 128),
    key("service_tier", 32),
    key("price_version", 64),
    sum_of("calls"),
    sum_of("attempts"),
    sum_of("rate_limit_hits"),
    sum_of("rate_limit_retries"),
    sum_of("other_retries"),
    sum_of("backoff_us"),
    sum_of("retry_after_us"),
    sum_of("duration_us"),
    sum_of("input_tokens"),
    sum_of("output_tokens"),
    sum_of("cached_tokens"),
    sum_of("cache_write_tokens"),
    sum_of("reasoning_tokens"),
    sum_of("cost_pico"),
    sa.Column("repriced_pico", sa.BigInteger()),
    sa.Column("price_source", sa.String(64), nullable=False, server_default=sa.text("''")),
    count("errors"),
    count("unpriced"),
    count("usage_missing"),
    sum_of("quota_hits"),
    sum_of("spend_limit_hits"),
    count("unmodelled"),
    sum_of("saved_pico"),
    sum_of("output_pico"),
    sa.Column("opened_us", sa.BigInteger()),
    sa.Column("closed_us", sa.BigInteger()),
)

counters = sa.Table(
    "telemetry_counters",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger(), nullable=False),
)

documents = sa.Table(
    "telemetry_documents",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("document_key", sa.String(64), primary_key=True),
    sa.Column("ordinal", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("row_ref", sa.BigInteger()),
    sa.Column("size_bytes", sa.BigInteger()),
    sa.Column("characters", sa.BigInteger()),
    sa.Column("type", sa.String(10)),
    sa.Column("extraction_us", sa.BigInteger()),
    sa.Column("analysis_us", sa.BigInteger()),
    sa.Column("chunk_count", sa.Integer()),
    score("score"),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("error_type", sa.String(255)),
    flag("fallback"),
)

system_health_log = sa.Table(
    "system_health_log",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("log_date", sa.Date(), nullable=False, unique=True),
    count("jobs_completed"),
    count("jobs_failed"),
    sa.Column("avg_processing_time", sa.Numeric(12, 3)),
    sa.Column("total_api_spend", sa.Numeric(20, 12)),
    count("rate_limit_incidents"),
    sa.Column("error_types", sa.Text()),
    sa.Column("peak_concurrent_jobs", sa.Integer()),
    count("total_candidates_processed"),
    sum_of("total_api_calls"),
)

users = sa.Table(
    "telemetry_users",
    metadata,
    sa.Column("user_ref", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("created_at", sa.DateTime()),
    count("jobs"),
    sum_of("candidates"),
    sum_of("cost_pico"),
    sa.Column("largest_batch", sa.Integer()),
    sa.Column("last_run_at", sa.DateTime()),
    sa.Column("archived_jobs", sa.Integer()),
    sa.Column("archived_candidates", sa.BigInteger()),
    sa.Column("archived_cost_pico", sa.BigInteger()),
    sa.Column("archived_largest_batch", sa.Integer()),
    sa.Column("archived_last_run_at", sa.DateTime()),
)

warning_events = sa.Table(
    "telemetry_warning_events",
    metadata,
    sa.Column("event_id", sa.String(32), primary_key=True),
    sa.Column("user_ref", sa.BigInteger()),
    sa.Column("subject", sa.String(255)),
    sa.Column("warning_type", sa.String(50)),
    sa.Column("user_action", sa.String(50)),
    sa.Column("happened_at", sa.DateTime(), nullable=False),
    sa.Column("arrived_at", sa.DateTime(), nullable=False, server_default=utc_now()),
)
sa.Index(None, warning_events.c.subject)
sa.Index(None, warning_events.c.arrived_at)

archived_runs = sa.Table(
    "telemetry_archived_runs",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    flag("synthetic"),
    sa.Column("user_ref", sa.BigInteger()),
    sa.Column("analysis_ref", sa.BigInteger()),
    sa.Column("analysis_created_at", sa.DateTime()),
    flag("analysis_gone"),
    sa.Column("started_at", sa.DateTime(), nullable=False),
    sa.Column("fragments", sa.Text(), nullable=False),
    sa.Column("archive", sa.String(64), nullable=False),
)
sa.Index(None, archived_runs.c.user_ref)
sa.Index(None, archived_runs.c.analysis_ref)
sa.Index(None, archived_runs.c.started_at)
sa.Index(None, archived_runs.c.archive)

archived_days = sa.Table(
    "telemetry_archived_days",
    metadata,
    sa.Column("log_date", sa.Date(), primary_key=True),
    sa.Column("archive", sa.String(64), nullable=False),
)

daily_tasks = sa.Table(
    "telemetry_daily_tasks",
    metadata,
    sa.Column("day", sa.Date(), primary_key=True),
    sa.Column("task", sa.String(160), primary_key=True),
    sa.Column("claimed_at", sa.DateTime(), nullable=False),
    sa.Column("done_at", sa.DateTime()),
)

found = sa.Table(
    "telemetry_found",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("asked_at", sa.DateTime()),
    sa.Column("figures", sa.Text()),
)

# Described for the foreign keys only: these tables are the host's.
host = sa.MetaData()
analyses, host_users = (
    sa.Table(name, host, sa.Column("id", sa.Integer(), primary_key=True)) for name in ("analyses", "users")
)

document_warnings = sa.Table(
    "document_warnings",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("analysis_id", sa.BigInteger(), sa.ForeignKey(analyses.c.id, ondelete="CASCADE")),
    sa.Column("user_id", sa.BigInteger(), sa.ForeignKey(host_users.c.id, ondelete="CASCADE")),
    sa.Column("subject", sa.String(255)),
    sa.Column("warning_type", sa.String(50), nullable=False),
    sa.Column("warning_shown_at", sa.DateTime(), nullable=False, server_default=utc_now()),
    sa.Column("user_action", sa.String(50)),
    sa.Column("document_count", sa.Integer()),
    sa.Column("document_size", sa.BigInteger()),
    sa.Column("additional_data", sa.Text()),
    sa.Index("idx_warnings_analysis", "analysis_id"),
    sa.Index("idx_warnings_user", "user_id"),
    sa.Index("idx_warnings_type", "warning_type"),
    sa.Index("idx_warnings_shown_at", "warning_shown_at"),
)
SUBJECT_INDEX = HostIndex("idx_warnings_subject", "document_warnings", ("subject",))


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    for table in metadata.sorted_tables:
        if table is not document_warnings:
            additions.table(table)
    additions.release_locks()
    # Its foreign keys lock the host's tables until the transaction ends, so it has one of its own.
    additions.table(document_warnings)
    additions.release_locks()
    additions.index(SUBJECT_INDEX)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
