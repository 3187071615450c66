"""The list of what migrations add, and the host's tables if asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.losses import losses
from exporters.sql.schema.migrate import MigrationError
from exporters.sql.schema.tables import NAMING_CONVENTION, utc_now

revision = "1_base_tables"
down_revision = None

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

added_objects = sa.Table(
    "telemetry_added_objects",
    metadata,
    sa.Column("table_name", sa.String(63), primary_key=True),
    sa.Column("object_type", sa.String(10), primary_key=True),
    sa.Column("object_name", sa.String(63), primary_key=True),
    sa.Column("revision", sa.String(32), nullable=False),
    sa.Column("added_at", sa.DateTime(), nullable=False, server_default=utc_now()),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("email", sa.String(120), nullable=False, unique=True),
    sa.Column("password_hash", sa.String(255), nullable=False),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("is_admin", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("created_at", sa.DateTime(), nullable=False),
    sa.Column("last_seen", sa.DateTime()),
    sa.Column("total_analyses_count", sa.Integer(), nullable=False, server_default=sa.text("0")),
)

analyses = sa.Table(
    "analyses",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("job_title", sa.String(255)),
    sa.Column("num_candidates", sa.Integer(), nullable=False),
    sa.Column("num_criteria", sa.Integer(), nullable=False),
    sa.Column("coverage_data", sa.Text()),
    sa.Column("cost_usd", sa.Numeric(10, 2), nullable=False),
    sa.Column("created_at", sa.DateTime(), nullable=False),
    sa.Column("completed_at", sa.DateTime()),
    sa.Column("processing_duration_seconds", sa.Integer()),
    sa.Column("exceeded_resume_limit", sa.Boolean()),
    sa.Column("user_chose_override", sa.Boolean()),
)

candidate_files = sa.Table(
    "candidate_files",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column(
        "analysis_id",
        sa.Integer(),
        sa.ForeignKey("analyses.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("candidate_name", sa.String(255)),
    sa.Column("file_name", sa.String(255), nullable=False),
    sa.Column("file_bytes", sa.LargeBinary(), nullable=False),
    sa.Column("extracted_text", sa.Text(), nullable=False),
    sa.Column("created_at", sa.DateTime(), nullable=False),
)


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    missing = [table for table in (users, analyses, candidate_files) if not additions.has_table(table.name)]
    for table in [added_objects, *(missing if with_base_tables() else [])]:
        additions.table(table)


def downgrade() -> None:
    if not with_base_tables() and not op.get_context().as_sql:
        # Rows may have been written since the caller looked.
        base = [str(loss) for loss in losses(op.get_bind(), [revision]) if loss.is_base and loss.rows]
        if base:
            raise MigrationError(f"{'; '.join(base)}: pass --with-base-tables again to drop them, too")
    Additions(op.get_context(), revision).drop()


def with_base_tables() -> bool:
    config = op.get_context().config
    return bool(config and config.attributes.get("with_base_tables"))
