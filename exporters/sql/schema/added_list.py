"""The list of all that migrations added to a database, so that a downgrade drops nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from .tables import added_objects


class Added(NamedTuple):
    """An entry of the list."""

    table_name: str
    object_type: str
    object_name: str


class AddedObjects:
    """The list, as one revision reads and writes it."""

    def __init__(self, context: MigrationContext, revision: str) -> None:
        assert context.config
        self._operations = Operations(context)
        self._attributes = context.config.attributes
        self._connection: Connection = self._attributes["connection"]
        self._revision = revision

    def remember(self, table_name: str, object_type: str, names: Sequence[str]) -> None:
        """Add what this revision adds to a table to the list."""
        if not names:
            return
        ours = {"table_name": table_name, "object_type": object_type, "revision": self._revision}
        insert = postgresql.insert if self._connection.dialect.name == "postgresql" else sqlite.insert
        rows = insert(added_objects).values([{**ours, "object_name": name} for name in names])
        keys = [column.name for column in added_objects.primary_key]
        self._operations.execute(
            rows.on_conflict_do_update(index_elements=keys, set_={"revision": rows.excluded.revision})
        )

    @property
    def _from_here_on(self) -> list[str]:
        """This revision and the later ones."""
        config = self._operations.get_context().config
        assert config
        later = ScriptDirectory.from_config(config).iterate_revisions("head", self._revision)
        return [self._revision, *(script.revision for script in later)]

    def added(self) -> list[Added]:
        """Return what this revision and the later ones added, without what printed SQL has dropped."""
        added = added_objects.c
        columns = added.table_name, added.object_type, added.object_name
        ours = sa.select(*columns).where(added.revision.in_(self._from_here_on))
        rows = [Added(*row) for row in self._connection.execute(ours.order_by(*columns))]
        if not self._operations.get_context().as_sql:
            return rows
        dropped: set[Added] = self._attributes.setdefault("dropped", set())
        left = [row for row in rows if row not in dropped]
        dropped.update(left)
        return left

    def forget(self, table_name: str, *, whole: bool) -> None:
        """Remove from the list a whole table that this revision added, or what it added to a table."""
        added = added_objects.c
        is_table = added.object_type == "table" if whole else added.object_type != "table"
        ours = added.revision.in_(self._from_here_on), added.table_name == table_name
        self._operations.execute(sa.delete(added_objects).where(*ours, is_table))
