"""What is in archives: enough to keep totals, and not to take an archived run for a new one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION

revision = "0011"
down_revision = "0010"

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

archived_runs = sa.Table(
    "telemetry_archived_runs",
    metadata,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("synthetic", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("user_ref", sa.BigInteger()),
    sa.Column("analysis_ref", sa.BigInteger()),
    sa.Column("analysis_created_at", sa.DateTime()),
    sa.Column("analysis_gone", sa.Boolean(), nullable=False, server_default=sa.false()),
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

SUMS = (
    sa.Column("archived_jobs", sa.Integer()),
    sa.Column("archived_candidates", sa.BigInteger()),
    sa.Column("archived_cost_pico", sa.BigInteger()),
    sa.Column("archived_largest_batch", sa.Integer()),
    sa.Column("archived_last_run_at", sa.DateTime()),
)


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    additions.columns("telemetry_users", SUMS)
    for table in metadata.sorted_tables:
        additions.table(table)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
