"""Which analyses wait for their files, which events about warnings have arrived, and types of uploads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION, HostIndex, utc_now

revision = "0010"
down_revision = "0009"

INDEX = "ix_telemetry_runs_without_files"

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

warning_events = sa.Table(
    "telemetry_warning_events",
    metadata,
    sa.Column("event_id", sa.String(32), primary_key=True),
    sa.Column("user_ref", sa.BigInteger()),
    sa.Column("subject", sa.String(255)),
    sa.Column("warning_type", sa.String(50)),
    sa.Column("user_action", sa.String(50)),
    sa.Column("happened_at", sa.DateTime(), nullable=False),
    sa.Column("arrived_at", sa.DateTime(), nullable=False, server_default=utc_now()),
)
sa.Index(None, warning_events.c.subject)
sa.Index(None, warning_events.c.arrived_at)


def upgrade() -> None:
    waiting = sa.text("files_pending > 0")
    op.create_index(INDEX, "telemetry_runs", ["ended_at"], postgresql_where=waiting, sqlite_where=waiting)
    additions = Additions(op.get_context(), revision)
    additions.columns("telemetry_runs", [sa.Column("jd_type", sa.String(10))])
    additions.table(warning_events)
    additions.index(HostIndex("idx_warnings_subject", "document_warnings", ("subject",)))


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
    op.drop_index(INDEX, "telemetry_runs")
