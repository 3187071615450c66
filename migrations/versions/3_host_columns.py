"""What telemetry adds to the host's tables: its figures on their own rows, and indexes for dashboards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import HostIndex

revision = "3_host_columns"
down_revision = "2_telemetry_tables"

COLUMNS = {
    "analyses": [
        sa.Column("jd_file_size_bytes", sa.BigInteger()),
        sa.Column("jd_character_count", sa.BigInteger()),
        sa.Column("total_resume_file_size_bytes", sa.BigInteger()),
        sa.Column("avg_resume_character_count", sa.BigInteger()),
        sa.Column("min_resume_character_count", sa.BigInteger()),
        sa.Column("max_resume_character_count", sa.BigInteger()),
        sa.Column("api_calls_made", sa.Integer()),
        sa.Column("total_tokens_used", sa.BigInteger()),
        sa.Column("total_api_cost", sa.Numeric(20, 12)),
        sa.Column("rate_limit_hits", sa.Integer()),
        sa.Column("rate_limit_retry_count", sa.Integer()),
        sa.Column("avg_overall_score", sa.Numeric(5, 4)),
        sa.Column("median_overall_score", sa.Numeric(5, 4)),
        sa.Column("min_overall_score", sa.Numeric(5, 4)),
        sa.Column("max_overall_score", sa.Numeric(5, 4)),
        sa.Column("candidates_above_70_percent", sa.Integer()),
        sa.Column("candidates_50_to_70_percent", sa.Integer()),
        sa.Column("candidates_below_50_percent", sa.Integer()),
        sa.Column("insights_generated_count", sa.Integer()),
        sa.Column("insights_generation_time_seconds", sa.Numeric(12, 3)),
        sa.Column("insights_tokens_used", sa.BigInteger()),
        sa.Column("insights_api_cost", sa.Numeric(20, 12)),
        sa.Column("text_extraction_total_time", sa.Numeric(12, 3)),
        sa.Column("embedding_generation_time", sa.Numeric(12, 3)),
        sa.Column("similarity_calculation_time", sa.Numeric(12, 3)),
        sa.Column("database_write_time", sa.Numeric(12, 3)),
        sa.Column("cost_per_candidate", sa.Numeric(20, 12)),
        sa.Column("cost_per_criterion", sa.Numeric(20, 12)),
        sa.Column("cost_breakdown", sa.Text()),
        sa.Column("status", sa.String(20)),
        sa.Column("error_count", sa.Integer()),
        sa.Column("error_details", sa.Text()),
    ],
    "candidate_files": [
        sa.Column("resume_file_size_bytes", sa.BigInteger()),
        sa.Column("resume_character_count", sa.BigInteger()),
        sa.Column("resume_file_type", sa.String(10)),
        sa.Column("extraction_duration_seconds", sa.Numeric(12, 3)),
        sa.Column("analysis_duration_seconds", sa.Numeric(12, 3)),
        sa.Column("chunk_count", sa.Integer()),
        sa.Column("processing_error", sa.Boolean()),
        sa.Column("error_message", sa.Text()),
    ],
    "users": [
        sa.Column("total_jobs_run", sa.Integer()),
        sa.Column("total_candidates_analyzed", sa.Integer()),
        sa.Column("total_api_spend", sa.Numeric(20, 12)),
        sa.Column("avg_candidates_per_job", sa.Numeric(6, 2)),
        sa.Column("largest_batch_processed", sa.Integer()),
        sa.Column("last_active_date", sa.DateTime()),
    ],
}

INDEXES = (
    HostIndex("idx_analyses_completed_at", "analyses", ("completed_at",)),
    HostIndex("idx_analyses_status", "analyses", ("status",)),
    HostIndex("idx_analyses_processing_duration", "analyses", ("processing_duration_seconds",)),
    HostIndex("idx_users_total_jobs", "users", ("total_jobs_run",)),
    HostIndex("idx_users_last_active", "users", ("last_active_date",)),
)


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    for table, columns in COLUMNS.items():
        additions.columns(table, columns)
        additions.release_locks()  # before the next table is waited for
    for index in INDEXES:
        additions.index(index)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
