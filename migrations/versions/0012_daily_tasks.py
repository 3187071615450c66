"""What was done, or told, on which day: so that it happens once, whichever process comes to it first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION

revision = "0012"
down_revision = "0011"

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

daily_tasks = sa.Table(
    "telemetry_daily_tasks",
    metadata,
    sa.Column("day", sa.Date(), primary_key=True),
    sa.Column("task", sa.String(160), primary_key=True),
    sa.Column("claimed_at", sa.DateTime(), nullable=False),
    sa.Column("done_at", sa.DateTime()),
)


def upgrade() -> None:
    Additions(op.get_context(), revision).table(daily_tasks)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
