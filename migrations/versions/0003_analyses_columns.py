"""What an analysis took, cost and found, on its own row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    Additions(op.get_context(), revision).columns(
        "analyses",
        [
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
    )


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
