"""What one process found out for all, and when: nobody has to look again before it is old."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from exporters.sql.schema.additions import Additions
from exporters.sql.schema.tables import NAMING_CONVENTION

revision = "0013"
down_revision = "0012"

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

found = sa.Table(
    "telemetry_found",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("asked_at", sa.DateTime()),
    sa.Column("figures", sa.Text()),
)


def upgrade() -> None:
    Additions(op.get_context(), revision).table(found)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
