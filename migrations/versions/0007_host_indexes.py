"""Indexes for the questions dashboards ask of the host's tables."""

from __future__ import annotations

from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import HostIndex

revision = "0007"
down_revision = "0006"

INDEXES = (
    HostIndex("idx_analyses_completed_at", "analyses", ("completed_at",)),
    HostIndex("idx_analyses_status", "analyses", ("status",)),
    HostIndex("idx_analyses_processing_duration", "analyses", ("processing_duration_seconds",)),
    HostIndex("idx_users_total_jobs", "users", ("total_jobs_run",)),
    HostIndex("idx_users_last_active", "users", ("last_active_date",)),
)


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)
    for index in INDEXES:
        additions.index(index)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
