"""The sums over a user's analyses, on the user's row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    Additions(op.get_context(), revision).columns(
        "users",
        [
            sa.Column("total_jobs_run", sa.Integer()),
            sa.Column("total_candidates_analyzed", sa.Integer()),
            sa.Column("total_api_spend", sa.Numeric(20, 12)),
            sa.Column("avg_candidates_per_job", sa.Numeric(6, 2)),
            sa.Column("largest_batch_processed", sa.Integer()),
            sa.Column("last_active_date", sa.DateTime()),
        ],
    )


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
