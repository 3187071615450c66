"""Which tables are ours: a host may have had a table of the same name, with content of its own."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .tables import added_objects


def is_ours(connection: Connection, table: sa.Table) -> bool:
    """Return whether one of our migrations created ``table`` in this database."""
    is_listed = sa.and_(
        added_objects.c.table_name == table.name,
        added_objects.c.object_type == "table",
        added_objects.c.object_name == table.name,
    )
    return connection.execute(sa.select(added_objects.c.revision).where(is_listed)).first() is not None
