"""${message}."""

from __future__ import annotations

from alembic import op

from exporters.sql.schema.additions import Additions

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    additions = Additions(op.get_context(), revision)


def downgrade() -> None:
    Additions(op.get_context(), revision).drop()
