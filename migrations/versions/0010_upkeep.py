"""What upkeep asks: which analyses still wait for their files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

INDEX = "ix_telemetry_runs_without_files"


def upgrade() -> None:
    waiting = sa.text("files_pending > 0")
    op.create_index(INDEX, "telemetry_runs", ["ended_at"], postgresql_where=waiting, sqlite_where=waiting)


def downgrade() -> None:
    op.drop_index(INDEX, "telemetry_runs")
