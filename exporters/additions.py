"""Add to a database what it lacks, remember what was added, drop only that.

For migration scripts: one `Additions` a revision. Whatever is there already is the host's and stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.engine.reflection import Inspector

from .host_schema import HostIndex
from .migrate import MigrationError
from .migration_lock import LOCK_TIMEOUT, Patience, set_lock_timeout
from .schema import added_objects

_log = logging.getLogger(__name__)


class Additions:
    """What one revision adds.

    Args:
        context: Alembic's, as `op.get_context()` gives it.
        revision: The revision that adds, so that its downgrade knows what to drop.
    """

    def __init__(self, context: MigrationContext, revision: str) -> None:
        self._operations = Operations(context)
        self._revision = revision

    def table(self, table: sa.Table) -> None:
        """Create a table with its indexes, or complete the one that is there."""
        if not self._inspector.has_table(table.name):
            table.create(self._connection)
            self._remember(table.name, "table", table.name)
            return
        self.columns(table.name, table.columns)
        present = {index["name"] for index in self._inspector.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in present:
                index.create(self._connection)
                self._remember(table.name, "index", str(index.name))

    def columns(self, table_name: str, columns: Iterable[sa.Column[Any]]) -> None:
        """Add the columns a table lacks, always nullable: existing rows have no value for them."""
        present = {column["name"] for column in self._inspector.get_columns(table_name)}
        for column in columns:
            if column.name not in present:
                self._operations.add_column(table_name, sa.Column(column.name, column.type))
                self._remember(table_name, "column", column.name)

    def index(self, index: HostIndex) -> None:
        """Add an index to a table in use, without stopping writes to it.

        Commits what the revision did so far: an index that is built concurrently cannot be in a transaction.
        """
        present = {column["name"] for column in self._inspector.get_columns(index.table)}
        if missing := [column for column in index.columns if column not in present]:
            _log.warning("%s has no column %s: the index %s is left out", index.table, missing[0], index.name)
            return
        if self._has_valid_index(index):
            return
        # First, because it cannot be one transaction: a crash must not make our index look like the host's.
        self._remember(index.table, "index", index.name)
        if self._is_postgresql:
            self._create_concurrently(index)
        else:
            self._operations.create_index(index.name, index.table, index.columns)

    def drop(self) -> None:
        """Drop everything this revision added to this database, in an order that works."""
        added = self._forget()
        for table_name, name in added["index"]:
            self._operations.drop_index(name, table_name, if_exists=True)
        for table_name, name in added["column"]:
            self._drop_column(table_name, name)
        self._drop_tables({name for _, name in added["table"]})

    @property
    def _connection(self) -> Connection:
        return self._operations.get_bind()

    @property
    def _inspector(self) -> Inspector:
        """A fresh one each time: an inspector remembers what it saw."""
        return sa.inspect(self._connection)

    @property
    def _is_postgresql(self) -> bool:
        return self._connection.dialect.name == "postgresql"

    def _remember(self, table_name: str, object_type: str, object_name: str) -> None:
        key = {"table_name": table_name, "object_type": object_type, "object_name": object_name}
        self._connection.execute(sa.delete(added_objects).filter_by(**key))
        self._connection.execute(sa.insert(added_objects).values(**key, revision=self._revision))

    def _forget(self) -> dict[str, list[tuple[str, str]]]:
        """Take this revision's objects off the list; table and object names by type."""
        ours = added_objects.c.revision == self._revision
        rows = self._connection.execute(sa.select(added_objects).where(ours)).all()
        self._connection.execute(sa.delete(added_objects).where(ours))
        added: dict[str, list[tuple[str, str]]] = {"index": [], "column": [], "table": []}
        for row in rows:
            added[row.object_type].append((row.table_name, row.object_name))
        return added

    def _has_valid_index(self, index: HostIndex) -> bool:
        if not self._is_postgresql:
            return any(found["name"] == index.name for found in self._inspector.get_indexes(index.table))
        valid = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        return bool(self._connection.scalar(valid, {"name": index.name}))

    def _create_concurrently(self, index: HostIndex) -> None:
        context = self._operations.get_context()
        assert context.config
        patience: Patience = context.config.attributes["patience"]
        with context.autocommit_block():
            # It waits for writers to end while nobody waits for it.
            set_lock_timeout(self._connection, patience.remaining)
            try:
                # One that a crash or a timeout left behind is invalid, yet would pass for IF NOT EXISTS.
                self._operations.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
                self._operations.create_index(
                    index.name, index.table, index.columns, postgresql_concurrently=True
                )
            finally:
                set_lock_timeout(self._connection, LOCK_TIMEOUT)

    def _drop_column(self, table_name: str, name: str) -> None:
        dialect = self._connection.dialect
        if dialect.name == "sqlite" and (dialect.server_version_info or ()) < (3, 35):
            raise MigrationError(
                "SQLite drops columns from version 3.35 on: downgrade with a newer Python or SQLite"
            )
        if any(column["name"] == name for column in self._inspector.get_columns(table_name)):
            self._operations.drop_column(table_name, name)

    def _drop_tables(self, names: set[str]) -> None:
        reflected = sa.MetaData()
        reflected.reflect(self._connection, only=lambda name, _: name in names)
        reflected.drop_all(self._connection, tables=[t for t in reflected.sorted_tables if t.name in names])
