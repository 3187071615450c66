"""The tables of telemetry: runs, fragments, stage usage, counters, documents, and the daily health log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION

revision = "0002"
down_revision = "0001"


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


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    for table in metadata.sorted_tables:
        additions.table(table)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
