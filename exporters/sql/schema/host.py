"""The host's tables: the columns that telemetry adds to them, and the few that it reads.

No column has a default: a value that was never measured stays NULL, and a run that was never seen has no
status. Seconds are NUMERIC(12,3) and dollars NUMERIC(20,12), wide enough not to round small numbers to zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from telemetry import conventions as c

from .columns import BYTES, CHARACTERS, DOLLARS, SECONDS, SHARE, TOKENS, column, listed

STATUSES = (c.RUNNING, *c.TERMINAL_STATUSES, c.UNKNOWN)
"""All statuses of a run or an analysis."""


class HostIndex(NamedTuple):
    """An index on a host table."""

    name: str
    table: str
    columns: tuple[str, ...]


class HostTables(NamedTuple):
    """The three host tables, as far as telemetry reads or writes them."""

    analyses: sa.Table
    candidate_files: sa.Table
    users: sa.Table


def _bytes(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.BigInteger(), meaning, BYTES)


def _characters(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.BigInteger(), meaning, CHARACTERS)


def _tokens(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.BigInteger(), meaning, TOKENS)


def _count(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Integer(), meaning, unit)


def _seconds(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Numeric(12, 3), meaning, SECONDS)


def _dollars(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Numeric(20, 12), meaning, DOLLARS)


def _score(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Numeric(5, 4), meaning, SHARE)


ANALYSES_COLUMNS: tuple[sa.Column[Any], ...] = (
    _bytes("jd_file_size_bytes", "Size of the job description."),
    _characters("jd_character_count", "Length of the job description's text."),
    _bytes("total_resume_file_size_bytes", "Size of all résumés."),
    _characters("avg_resume_character_count", "Mean length of a résumé's text."),
    _characters("min_resume_character_count", "Length of the shortest résumé."),
    _characters("max_resume_character_count", "Length of the longest résumé."),
    _count("api_calls_made", "calls", "Calls to OpenAI, each with all its attempts."),
    _tokens("total_tokens_used", "Input and output."),
    _dollars("total_api_cost", "What the API cost; a lower bound while a run of it is not `cost_complete`."),
    _count("rate_limit_hits", "answers", "Answers 429 because requests came too fast."),
    _count(
        "rate_limit_retry_count", "attempts", "Attempts that followed right after one that met a rate limit."
    ),
    _score("avg_overall_score", "Mean score of the candidates that were scored."),
    _score("median_overall_score", "Their median score."),
    _score("min_overall_score", "Their lowest score."),
    _score("max_overall_score", "Their highest score."),
    _count("candidates_above_70_percent", "candidates", "Scored 0.7 and more."),
    _count("candidates_50_to_70_percent", "candidates", "Scored 0.5 and more, below 0.7."),
    _count("candidates_below_50_percent", "candidates", "Scored below 0.5."),
    _count("insights_generated_count", "calls", "Successful calls of the stage insights."),
    _seconds("insights_generation_time_seconds", "How long the stage insights was open."),
    _tokens("insights_tokens_used", "Input and output of the stage insights."),
    _dollars("insights_api_cost", "What the stage insights cost."),
    _seconds("text_extraction_total_time", "How long the stage extraction was open."),
    _seconds("embedding_generation_time", "How long the stage embedding was open."),
    _seconds("similarity_calculation_time", "How long the stage similarity was open."),
    _seconds("database_write_time", "How long the stage db_write was open."),
    _dollars("cost_per_candidate", "`total_api_cost` divided by the candidates."),
    _dollars("cost_per_criterion", "`total_api_cost` divided by the criteria."),
    column("cost_breakdown", sa.Text(), "JSON: cost by stage.", DOLLARS),
    column("status", sa.String(20), f"How it stands: {listed(STATUSES)}. NULL: nobody has said."),
    _count("error_count", "errors", "Errors in all its runs."),
    column("error_details", sa.Text(), "JSON: how often which error in which stage."),
)
"""Added to `analyses`: the sums of all its runs, and the documents and scores of the latest that analysed.

A stage that did not happen is NULL, and so is what nobody knows of history.
"""

CANDIDATE_FILES_COLUMNS: tuple[sa.Column[Any], ...] = (
    _bytes("resume_file_size_bytes", "Size of the file."),
    _characters("resume_character_count", "Length of its text."),
    column("resume_file_type", sa.String(10), f"Type of the file: {listed((*c.DOCUMENT_TYPES, c.OTHER))}."),
    _seconds("extraction_duration_seconds", "Time it took to extract its text."),
    _seconds("analysis_duration_seconds", "Time it took to analyse it, in all runs."),
    _count("chunk_count", "chunks", "Parts into which its text was cut."),
    column("processing_error", sa.Boolean(), "Whether it failed."),
    column("error_message", sa.Text(), "Type of the error; never a message, which could quote the résumé."),
)
"""Added to `candidate_files`."""

USERS_COLUMNS: tuple[sa.Column[Any], ...] = (
    _count("total_jobs_run", "jobs", "Analyses that ended, history included."),
    _count("total_candidates_analyzed", "candidates", "Candidates of these analyses."),
    _dollars(
        "total_api_spend", "What all runs of the user cost, intake and late ones too; NULL: all are history."
    ),
    column(
        "avg_candidates_per_job", sa.Numeric(6, 2), "Mean number of candidates of an analysis.", "candidates"
    ),
    _count("largest_batch_processed", "candidates", "Candidates of the largest analysis."),
    column("last_active_date", sa.DateTime(), "When the user's latest run began."),
)
"""Added to `users`."""

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


def _host_tables(metadata: sa.MetaData) -> HostTables:
    return HostTables(
        analyses=sa.Table(
            "analyses",
            metadata,
            sa.Column("id", sa.BigInteger(), primary_key=True),
            sa.Column("user_id", sa.BigInteger()),
            sa.Column("created_at", sa.DateTime()),
            sa.Column("num_candidates", sa.Integer()),
            sa.Column("num_criteria", sa.Integer()),
            sa.Column("completed_at", sa.DateTime()),
            sa.Column("processing_duration_seconds", sa.Integer()),
            sa.Column("exceeded_resume_limit", sa.Boolean()),
            sa.Column("user_chose_override", sa.Boolean()),
            sa.Column("cost_usd", sa.Numeric(asdecimal=False)),
            *_copies(ANALYSES_COLUMNS),
        ),
        candidate_files=sa.Table(
            "candidate_files",
            metadata,
            sa.Column("id", sa.BigInteger(), primary_key=True),
            sa.Column("analysis_id", sa.BigInteger()),
            sa.Column("file_name", sa.String(255)),
            sa.Column("file_bytes", sa.LargeBinary()),
            sa.Column("extracted_text", sa.Text()),
            *_copies(CANDIDATE_FILES_COLUMNS),
        ),
        users=sa.Table(
            "users",
            metadata,
            sa.Column("id", sa.BigInteger(), primary_key=True),
            sa.Column("email", sa.String(255)),
            sa.Column("created_at", sa.DateTime()),
            *_copies(USERS_COLUMNS),
        ),
    )


def _copies(columns: Iterable[sa.Column[Any]]) -> list[sa.Column[Any]]:
    """Return copies, because a column belongs to one table only."""
    return [sa.Column(column.name, column.type) for column in columns]


HOST: Final = _host_tables(sa.MetaData())
"""The three host tables.

The descriptions are for statements, not for CREATE TABLE. A host may have had a column of one of our names,
with a meaning of its own; `telemetry_added_objects` lists the columns that were added and may be written.
Which of the others exist, and with which type, differs between hosts; see :mod:`exporters.sql.host.columns`.
"""
