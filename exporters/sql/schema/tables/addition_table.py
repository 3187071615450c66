"""The table of what our migrations added to the database."""

from __future__ import annotations

import sqlalchemy as sa

from ..columns import column
from .kinds import metadata, utc_now

added_objects = sa.Table(
    "telemetry_added_objects",
    metadata,
    column("table_name", sa.String(63), "The table.", primary_key=True),
    column("object_type", sa.String(10), "`column`, `index` or `table`.", primary_key=True),
    column("object_name", sa.String(63), "What was added to it.", primary_key=True),
    column("revision", sa.String(32), "The migration that added it.", nullable=False),
    column("added_at", sa.DateTime(), "When.", nullable=False, server_default=utc_now()),
)
"""What the migrations added: all that may be written and dropped."""
