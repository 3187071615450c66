"""What became of each résumé, on its own row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    Additions(op.get_context(), revision).columns(
        "candidate_files",
        [
            sa.Column("resume_file_size_bytes", sa.BigInteger()),
            sa.Column("resume_character_count", sa.BigInteger()),
            sa.Column("resume_file_type", sa.String(10)),
            sa.Column("extraction_duration_seconds", sa.Numeric(12, 3)),
            sa.Column("analysis_duration_seconds", sa.Numeric(12, 3)),
            sa.Column("chunk_count", sa.Integer()),
            sa.Column("processing_error", sa.Boolean()),
            sa.Column("error_message", sa.Text()),
        ],
    )


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
