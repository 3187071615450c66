"""The SQL tables of this project, and what it knows of the host's.

Money is integer pico-dollars (`…_pico`), durations are integer microseconds (`…_us`), times are naive UTC,
JSON is text. References to host rows (`…_ref`) are soft: no foreign keys, so that telemetry can be written
before the host commits and never blocks or breaks what the host deletes.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from .host_schema import (
    ANALYSES_COLUMNS,
    CANDIDATE_FILES_COLUMNS,
    HOST_COLUMNS,
    HOST_INDEXES,
    USERS_COLUMNS,
    HostIndex,
    HostTables,
    host_tables,
)

__all__ = [
    "ANALYSES_COLUMNS",
    "CANDIDATE_FILES_COLUMNS",
    "HOST_COLUMNS",
    "HOST_INDEXES",
    "VIEWS",
    "NAMING_CONVENTION",
    "USERS_COLUMNS",
    "HostIndex",
    "HostTables",
    "added_objects",
    "counters",
    "document_warnings",
    "documents",
    "found",
    "fragments",
    "host_tables",
    "metadata",
    "runs",
    "stage_usage",
    "system_health_log",
    "users",
    "utc_now",
    "warning_events",
]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""How constraints and indexes are named where no name is given."""


class utc_now(GenericFunction[Any]):
    """The database's clock as naive UTC, whatever the time zone of server and session."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utc_now)
def _utc_now(element: utc_now, compiler: SQLCompiler, **_: Any) -> str:
    return "timezone('utc', now())" if compiler.dialect.name == "postgresql" else "CURRENT_TIMESTAMP"


def _key(name: str, length: int) -> sa.Column[str]:
    """A part of a primary key, where '' stands for "none": NULL would let rows double."""
    return sa.Column(name, sa.String(length), primary_key=True, server_default=sa.text("''"))


def _sum(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0"))


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _score(name: str) -> sa.Column[float]:
    """Between 0 and 1."""
    return sa.Column(name, sa.Numeric(5, 4, asdecimal=False))


metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of this project, and only those."""

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
    _flag("analysis_gone"),
    sa.Column("version", sa.BigInteger(), nullable=False),
    _sum("projected_version"),
    _sum("user_version"),
    _count("files_pending"),
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
    _count("n_documents"),
    _count("n_scored"),
    _count("n_failed"),
    _count("n_duplicates"),
    sa.Column("resume_bytes", sa.BigInteger()),
    sa.Column("resume_characters", sa.BigInteger()),
    sa.Column("resume_characters_min", sa.BigInteger()),
    sa.Column("resume_characters_max", sa.BigInteger()),
    _score("score_avg"),
    _score("score_median"),
    _score("score_min"),
    _score("score_max"),
    _count("above_70"),
    _count("from_50_to_70"),
    _count("below_50"),
    _sum("api_calls"),
    _sum("attempts"),
    _sum("rate_limit_hits"),
    _sum("rate_limit_retries"),
    _sum("other_retries"),
    _sum("backoff_us"),
    _sum("retry_after_us"),
    _sum("input_tokens"),
    _sum("output_tokens"),
    _sum("cached_tokens"),
    _sum("cache_write_tokens"),
    _sum("reasoning_tokens"),
    _sum("cost_pico"),
    sa.Column("repriced_pico", sa.BigInteger()),
    sa.Column("cost_complete", sa.Boolean(), nullable=False),
    _count("unpriced"),
    _count("usage_missing"),
    _count("unfinished"),
    _count("shed"),
    _count("error_count"),
    sa.Column("error_types", sa.Text()),
    sa.Column("trace_id", sa.String(32)),
    sa.Column("trace_sampled", sa.Boolean()),
    sa.Column("exceeded_resume_limit", sa.Boolean()),
    sa.Column("user_chose_override", sa.Boolean()),
)
"""One row a run: the sums of its fragments, and how far they have reached the host's row.

The last two columns are the host's, copied where it has them: no view may stand on a table of the host's.
"""

sa.Index(None, runs.c.analysis_ref)
sa.Index(None, runs.c.started_at)
sa.Index(None, runs.c.subject)
sa.Index(
    None,
    runs.c.user_ref,
    # A user's totals are recomputed from the index alone.
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
"""One row a fragment: the newest snapshot of what one process saw of a run. `state` is NULL once emptied."""

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
    _key("stage", 64),
    _key("operation", 32),
    _key("model", 128),
    _key("service_tier", 32),
    _key("price_version", 64),
    _sum("calls"),
    _sum("attempts"),
    _sum("rate_limit_hits"),
    _sum("rate_limit_retries"),
    _sum("other_retries"),
    _sum("backoff_us"),
    _sum("retry_after_us"),
    _sum("duration_us"),
    _sum("input_tokens"),
    _sum("output_tokens"),
    _sum("cached_tokens"),
    _sum("cache_write_tokens"),
    _sum("reasoning_tokens"),
    _sum("cost_pico"),
    sa.Column("repriced_pico", sa.BigInteger()),
    sa.Column("price_source", sa.String(64), nullable=False, server_default=sa.text("''")),
    _count("errors"),
    _count("unpriced"),
    _count("usage_missing"),
)
"""OpenAI calls of a run by stage, operation, model, tier and price.

The row whose `operation` is '' is the stage's own time: its `duration_us` is how long the stage was open.
"""

counters = sa.Table(
    "telemetry_counters",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger(), nullable=False),
)
"""What the application counted itself (`telemetry.count`)."""

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
    _score("score"),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("error_type", sa.String(255)),
    _flag("fallback"),
)
"""One row a document of a run; `row_ref` is the id of its `candidate_files` row, if the host told it."""

users = sa.Table(
    "telemetry_users",
    metadata,
    sa.Column("user_ref", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("created_at", sa.DateTime()),
    _count("jobs"),
    _sum("candidates"),
    _sum("cost_pico"),
    sa.Column("largest_batch", sa.Integer()),
    sa.Column("last_run_at", sa.DateTime()),
)
"""One row a user who has runs: what the segments are told by. It goes when the user's row is gone."""

VIEWS = (
    "telemetry_run_spend",
    "telemetry_spend",
    "telemetry_analysis_spend",
    "telemetry_user_segments",
    "telemetry_jobs",
    "telemetry_warnings",
    "telemetry_stages",
    "telemetry_health",
)
"""What dashboards, exports and reports read; a role for dashboards may read these and nothing else."""

added_objects = sa.Table(
    "telemetry_added_objects",
    metadata,
    sa.Column("table_name", sa.String(63), primary_key=True),
    sa.Column("object_type", sa.String(10), primary_key=True),
    sa.Column("object_name", sa.String(63), primary_key=True),
    sa.Column("revision", sa.String(32), nullable=False),
    sa.Column("added_at", sa.DateTime(), nullable=False, server_default=utc_now()),
)
"""What the migrations added (`object_type`: column, index or table): all that may be written and dropped."""

# Only for the foreign keys below: these tables are the host's.
_host = host_tables(sa.MetaData())

document_warnings = sa.Table(
    "document_warnings",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("analysis_id", sa.Integer(), sa.ForeignKey(_host.analyses.c.id, ondelete="CASCADE")),
    sa.Column("user_id", sa.Integer(), sa.ForeignKey(_host.users.c.id, ondelete="CASCADE")),
    sa.Column("subject", sa.String(255)),
    sa.Column("warning_type", sa.String(50), nullable=False),
    sa.Column("warning_shown_at", sa.DateTime(), nullable=False, server_default=utc_now()),
    sa.Column("user_action", sa.String(50)),
    sa.Column("document_count", sa.Integer()),
    sa.Column("document_size", sa.BigInteger()),
    sa.Column("additional_data", sa.Text()),
)
"""Warnings shown to users about their documents, and what they did then."""

sa.Index("idx_warnings_analysis", document_warnings.c.analysis_id)
sa.Index("idx_warnings_user", document_warnings.c.user_id)
sa.Index("idx_warnings_type", document_warnings.c.warning_type)
sa.Index("idx_warnings_shown_at", document_warnings.c.warning_shown_at)

warning_events = sa.Table(
    "telemetry_warning_events",
    metadata,
    sa.Column("event_id", sa.String(32), primary_key=True),
    sa.Column("user_ref", sa.BigInteger()),
    sa.Column("subject", sa.String(255)),
    sa.Column("user_action", sa.String(50)),
    sa.Column("happened_at", sa.DateTime(), nullable=False),
    sa.Column("arrived_at", sa.DateTime(), nullable=False, server_default=utc_now()),
)
"""What the application told about warnings, as often and in whatever order it arrives.

A warning that was shown has no ``user_action``; an answer has, and holds for what was shown before it.
"""

sa.Index(None, warning_events.c.subject)
sa.Index(None, warning_events.c.arrived_at)

found = sa.Table(
    "telemetry_found",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("asked_at", sa.DateTime()),
    sa.Column("figures", sa.Text()),
)
"""What one process found out for all, as JSON; ``asked_at`` is when it began to look."""

system_health_log = sa.Table(
    "system_health_log",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("log_date", sa.Date(), nullable=False, unique=True),
    _count("jobs_completed"),
    _count("jobs_failed"),
    sa.Column("avg_processing_time", sa.Numeric(12, 3)),
    sa.Column("total_api_spend", sa.Numeric(20, 12)),
    _count("rate_limit_incidents"),
    sa.Column("error_types", sa.Text()),
    sa.Column("peak_concurrent_jobs", sa.Integer()),
    _count("total_candidates_processed"),
    _sum("total_api_calls"),
)
"""One row a day, written by the daily check."""
