"""Adds to a database what it lacks, records what was added, and drops nothing else.

Each migration script has an `Additions`. What exists already belongs to the host, and is not changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.engine.reflection import Inspector
from sqlalchemy.schema import CreateIndex, CreateTable

from exporters.sql.host.needs import OPTIONAL_TABLES

from .added_list import Added, AddedObjects
from .alembic_runner import MigrationError
from .host import HOST_COLUMNS, HostIndex
from .migration_lock import LOCK_TIMEOUT, Patience, lock_timeout
from .tables import added_objects

_log = logging.getLogger(__name__)


class Additions:
    """The additions of one revision.

    If SQL is only printed, the database is read nevertheless, so that only what it lacks is printed.

    Args:
        context: The context of Alembic, from `op.get_context()`.
        revision: The revision, which is recorded for its downgrade.
    """

    def __init__(self, context: MigrationContext, revision: str) -> None:
        assert context.config
        self._operations = Operations(context)
        self._attributes = context.config.attributes
        self._connection: Connection = self._attributes["connection"]
        self._list = AddedObjects(context, revision)

    def has_table(self, name: str) -> bool:
        """Return whether the database has a table, or would have it after the printed SQL."""
        return name in self._planned or self._inspector.has_table(name)

    def table(self, table: sa.Table) -> None:
        """Create a table with its indexes, or complete an existing one."""
        if not self.has_table(table.name):
            self._operations.execute(CreateTable(table))
            self._create_indexes(table.indexes)
            self._plan(table.name, table.columns.keys())
            self._list.remember(table.name, "table", [table.name])
            return
        self.columns(table.name, table.columns)
        present = {index["name"] for index in self._inspector.get_indexes(table.name)}
        missing = [index for index in table.indexes if index.name not in present]
        self._create_indexes(missing)
        self._list.remember(table.name, "index", [str(index.name) for index in missing])

    def columns(self, table_name: str, columns: Iterable[sa.Column[Any]]) -> None:
        """Add the columns that a table lacks; all are nullable, because existing rows have no value."""
        if table_name in OPTIONAL_TABLES and not self.has_table(table_name):
            return
        present = self._present_columns(table_name)
        missing = [column for column in columns if column.name not in present]
        for column in missing:
            self._operations.add_column(table_name, sa.Column(column.name, column.type))
        self._plan(table_name, [column.name for column in missing])
        self._list.remember(table_name, "column", [column.name for column in missing])

    def index(self, index: HostIndex) -> None:
        """Add an index to a table in use, without blocking writes to it.

        This commits what the revision did so far, as an index cannot be built concurrently in a transaction.
        """
        present = self._present_columns(index.table)
        if missing := [column for column in index.columns if column not in present]:
            _log.warning("%s has no column %s: the index %s is left out", index.table, missing[0], index.name)
            return
        if self._has_valid_index(index):
            return
        if self._is_partitioned(index.table):  # its indexes cannot be built without blocking writes
            _log.warning("%s is partitioned: the index %s is left out", index.table, index.name)
            return
        # Before the index, as both cannot be one transaction: after a crash it must not count as the host's.
        self._list.remember(index.table, "index", [index.name])
        if self._is_postgresql:
            self._create_concurrently(index)
        else:
            self._operations.create_index(index.name, index.table, index.columns)

    def release_locks(self) -> None:
        """Commit what the revision did so far, so that no table stays locked while it waits for another.

        On SQLite all revisions are one transaction, and nothing is committed.
        """
        if self._is_postgresql:
            with self._operations.get_context().autocommit_block():
                pass

    def drop(self) -> None:
        """Drop everything that this revision added to this database.

        This includes what a later revision added before it failed. Each table of the host has its own
        transaction, so that it is locked only while its own part is dropped.
        """
        added = self._list.added()
        for table_name in dict.fromkeys(row.table_name for row in added if row.object_type != "table"):
            self._drop_from(table_name, [row for row in added if row.table_name == table_name])
            self.release_locks()
        self._drop_tables({row.table_name for row in added if row.object_type == "table"})

    @property
    def _inspector(self) -> Inspector:
        """A new inspector each time, because inspectors cache what they read."""
        return sa.inspect(self._connection)

    @property
    def _is_postgresql(self) -> bool:
        return self._connection.dialect.name == "postgresql"

    def _present_columns(self, table_name: str) -> set[str]:
        """Return the columns of a table, with those that the printed SQL adds."""
        there = self._inspector.has_table(table_name)
        found = {column["name"] for column in self._inspector.get_columns(table_name)} if there else set()
        if not self._is_postgresql:  # SQLite ignores case in names
            found = {name.lower() for name in found}
        return found | self._planned.get(table_name, set())

    @property
    def _planned(self) -> dict[str, set[str]]:
        """What the printed SQL adds: columns by table."""
        planned: dict[str, set[str]] = self._attributes.setdefault("planned", {})
        return planned

    def _plan(self, table_name: str, columns: Iterable[str]) -> None:
        if self._operations.get_context().as_sql:
            self._planned.setdefault(table_name, set()).update(columns)

    def _create_indexes(self, indexes: Iterable[sa.Index]) -> None:
        for index in sorted(
            indexes, key=lambda index: str(index.name)
        ):  # so that printed SQL is always the same
            self._operations.execute(CreateIndex(index))

    def _has_valid_index(self, index: HostIndex) -> bool:
        if not self._is_postgresql:
            there = self._inspector.get_indexes(index.table) if self._inspector.has_table(index.table) else []
            return any(found["name"] == index.name for found in there)
        valid = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
        return bool(self._connection.scalar(valid, {"name": index.name}))

    def _is_partitioned(self, table_name: str) -> bool:
        if not self._is_postgresql:
            return False
        kind = sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)")
        return bool(self._connection.scalar(kind, {"name": table_name}))

    def _create_concurrently(self, index: HostIndex) -> None:
        patience: Patience = self._attributes["patience"]
        context = self._operations.get_context()
        with context.autocommit_block():
            # The statement waits for writers to end, and blocks nobody meanwhile.
            self._operations.execute(lock_timeout(patience.seconds if context.as_sql else patience.remaining))
            try:
                # An index that a crash or a timeout left is invalid, but IF NOT EXISTS would accept it.
                self._operations.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
                self._operations.create_index(
                    index.name, index.table, index.columns, postgresql_concurrently=True
                )
            finally:
                self._operations.execute(lock_timeout(LOCK_TIMEOUT))

    def _drop_from(self, table_name: str, added: Sequence[Added]) -> None:
        """Drop the indexes, then the columns, that were added to a table."""
        self._list.forget(table_name, whole=False)
        for row in added:
            if row.object_type == "index":
                self._operations.drop_index(row.object_name, table_name, if_exists=True)
        for row in added:
            if row.object_type == "column":
                self._drop_column(table_name, row.object_name)

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
        tables = [table for table in reversed(reflected.sorted_tables) if table.name in names]
        for gone in sorted(names - reflected.tables.keys()):  # somebody else has dropped it
            self._list.forget(gone, whole=True)
        for table in sorted(
            tables, key=lambda table: table.name == added_objects.name
        ):  # the list is dropped last
            self._list.forget(table.name, whole=True)
            self._operations.drop_table(table.name)
            if any(key.column.table.name not in names for key in table.foreign_keys):
                self.release_locks()  # dropping a foreign key locks the table that it refers to


HOST_REVISION = "3_host_columns"
"""The revision that adds columns to the application's tables."""


def complete(context: MigrationContext) -> None:
    """Add columns of ours that are missing from a database at the newest revision.

    A migration that the application autogenerated may have dropped them, or their table may be newer.
    """
    additions = Additions(context, HOST_REVISION)
    for table, columns in HOST_COLUMNS.items():
        additions.columns(table, columns)
