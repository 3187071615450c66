"""Why a run is no success, and how many of its fragments nobody saw the end of.

What an open fragment had spent after its last snapshot is unknown: its run's cost is not complete.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0014"
down_revision = "0013"

OPEN = "FROM telemetry_fragments part WHERE part.run_id = telemetry_runs.run_id AND part.closed_at IS NULL"
UNCLOSED = f"""
UPDATE telemetry_runs SET cost_complete = FALSE, unclosed = (SELECT COUNT(*) {OPEN})
WHERE EXISTS (SELECT 1 {OPEN})
"""


def before() -> str:
    """Return the query of telemetry_jobs as it was."""
    jobs = context.script.get_revision("0009").module
    query: str = jobs.views(jobs.LATELY[op.get_context().dialect.name])["telemetry_jobs"]
    return query


def show(query: str) -> None:
    op.execute("DROP VIEW telemetry_jobs")
    op.execute(f"CREATE VIEW telemetry_jobs AS {query}")


def upgrade() -> None:
    op.add_column("telemetry_runs", sa.Column("status_reason", sa.String(128)))
    count = sa.Column("unclosed", sa.Integer(), nullable=False, server_default=sa.text("0"))
    op.add_column("telemetry_runs", count)
    op.execute(UNCLOSED)
    show(before().replace("run.status,", "run.status, run.status_reason,"))


def downgrade() -> None:
    show(before())
    op.drop_column("telemetry_runs", "unclosed")
    op.drop_column("telemetry_runs", "status_reason")
