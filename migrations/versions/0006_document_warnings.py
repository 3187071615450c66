"""Warnings shown to users about their documents. They go when the analysis or the user goes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION, utc_now

revision = "0006"
down_revision = "0005"

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

# Named for the foreign keys only.
sa.Table("analyses", metadata, sa.Column("id", sa.Integer(), primary_key=True))
sa.Table("users", metadata, sa.Column("id", sa.Integer(), primary_key=True))

document_warnings = sa.Table(
    "document_warnings",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("analysis_id", sa.BigInteger(), sa.ForeignKey("analyses.id", ondelete="CASCADE")),
    sa.Column("user_id", sa.BigInteger(), sa.ForeignKey("users.id", ondelete="CASCADE")),
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


def upgrade() -> None:
    Additions(op.get_context(), revision).table(document_warnings)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
