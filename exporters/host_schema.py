"""The host's tables as the writer sees them: the columns added to them, and the few columns it reads.

Nothing here has a default: a value that was never measured stays NULL, and a run that was never seen has no
status. Seconds are NUMERIC(12,3) and dollars NUMERIC(20,12), wide enough not to round small numbers to zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa


class HostIndex(NamedTuple):
    """An index on a host table."""

    name: str
    table: str
    columns: tuple[str, ...]


class HostTables(NamedTuple):
    """The three host tables, described as far as the writer reads or writes them."""

    analyses: sa.Table
    candidate_files: sa.Table
    users: sa.Table


def _bytes(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger())


def _characters(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger())


def _tokens(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger())


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer())


def _seconds(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric(12, 3))


def _dollars(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric(20, 12))


def _score(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric(5, 4))


ANALYSES_COLUMNS: tuple[sa.Column[Any], ...] = (
    _bytes("jd_file_size_bytes"),
    _characters("jd_character_count"),
    _bytes("total_resume_file_size_bytes"),
    _characters("avg_resume_character_count"),
    _characters("min_resume_character_count"),
    _characters("max_resume_character_count"),
    _count("api_calls_made"),
    _tokens("total_tokens_used"),
    _dollars("total_api_cost"),
    _count("rate_limit_hits"),
    _count("rate_limit_retry_count"),
    _score("avg_overall_score"),
    _score("median_overall_score"),
    _score("min_overall_score"),
    _score("max_overall_score"),
    _count("candidates_above_70_percent"),
    _count("candidates_50_to_70_percent"),
    _count("candidates_below_50_percent"),
    _count("insights_generated_count"),
    _seconds("insights_generation_time_seconds"),
    _tokens("insights_tokens_used"),
    _dollars("insights_api_cost"),
    _seconds("text_extraction_total_time"),
    _seconds("embedding_generation_time"),
    _seconds("similarity_calculation_time"),
    _seconds("database_write_time"),
    _dollars("cost_per_candidate"),
    _dollars("cost_per_criterion"),
    sa.Column("cost_breakdown", sa.Text()),
    sa.Column("status", sa.String(20)),
    _count("error_count"),
    sa.Column("error_details", sa.Text()),
)
"""Added to `analyses`. `cost_breakdown` and `error_details` hold JSON; scores run from 0 to 1."""

CANDIDATE_FILES_COLUMNS: tuple[sa.Column[Any], ...] = (
    _bytes("resume_file_size_bytes"),
    _characters("resume_character_count"),
    sa.Column("resume_file_type", sa.String(10)),
    _seconds("extraction_duration_seconds"),
    _seconds("analysis_duration_seconds"),
    _count("chunk_count"),
    sa.Column("processing_error", sa.Boolean()),
    sa.Column("error_message", sa.Text()),
)
"""Added to `candidate_files`."""

USERS_COLUMNS: tuple[sa.Column[Any], ...] = (
    _count("total_jobs_run"),
    _count("total_candidates_analyzed"),
    _dollars("total_api_spend"),
    sa.Column("avg_candidates_per_job", sa.Numeric(6, 2)),
    _count("largest_batch_processed"),
    sa.Column("last_active_date", sa.DateTime()),
)
"""Added to `users`. `last_active_date` is naive UTC."""

HOST_COLUMNS: dict[str, tuple[sa.Column[Any], ...]] = {
    "analyses": ANALYSES_COLUMNS,
    "candidate_files": CANDIDATE_FILES_COLUMNS,
    "users": USERS_COLUMNS,
}
"""What is added to each host table."""

HOST_INDEXES: tuple[HostIndex, ...] = (
    HostIndex("idx_analyses_completed_at", "analyses", ("completed_at",)),
    HostIndex("idx_analyses_status", "analyses", ("status",)),
    HostIndex("idx_analyses_processing_duration", "analyses", ("processing_duration_seconds",)),
    HostIndex("idx_users_total_jobs", "users", ("total_jobs_run",)),
    HostIndex("idx_users_last_active", "users", ("last_active_date",)),
)
"""Added to the host tables."""


def host_tables(metadata: sa.MetaData) -> HostTables:
    """Describe the host tables in `metadata`: the columns the writer reads, and those this project adds.

    The descriptions are for statements, not for CREATE TABLE. A host may have had a column of ours before,
    with its own meaning; `telemetry_added_objects` says which ones were added and may be written.
    """
    return HostTables(
        analyses=sa.Table(
            "analyses",
            metadata,
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("user_id", sa.Integer()),
            sa.Column("created_at", sa.DateTime()),
            sa.Column("num_candidates", sa.Integer()),
            sa.Column("num_criteria", sa.Integer()),
            sa.Column("completed_at", sa.DateTime()),
            sa.Column("processing_duration_seconds", sa.Integer()),
            sa.Column("exceeded_resume_limit", sa.Boolean()),
            sa.Column("user_chose_override", sa.Boolean()),
            *_copies(ANALYSES_COLUMNS),
        ),
        candidate_files=sa.Table(
            "candidate_files",
            metadata,
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("analysis_id", sa.Integer()),
            sa.Column("file_name", sa.String(255)),
            sa.Column("file_bytes", sa.LargeBinary()),
            sa.Column("extracted_text", sa.Text()),
            *_copies(CANDIDATE_FILES_COLUMNS),
        ),
        users=sa.Table(
            "users",
            metadata,
            sa.Column("id", sa.Integer(), primary_key=True),
            sa.Column("created_at", sa.DateTime()),
            *_copies(USERS_COLUMNS),
        ),
    )


def _copies(columns: Iterable[sa.Column[Any]]) -> list[sa.Column[Any]]:
    """A column belongs to one table only."""
    return [sa.Column(column.name, column.type) for column in columns]
