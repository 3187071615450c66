"""Whether entries of another process belong in the tables that this process writes to."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import Entry
from exporters.sql.database.engine import transaction
from exporters.sql.schema.tables import runs

_SETTINGS: Final = sa.text(
    "SELECT rolname, (SELECT string_agg(entry, ',' ORDER BY setting.setdatabase, entry)"
    "  FROM pg_db_role_setting setting, unnest(setting.setconfig) entry"
    "  WHERE setting.setrole = pg_roles.oid AND entry ~ '^(search_path|role)='"
    "  AND (setting.setdatabase = 0 OR setting.setdatabase ="
    "   (SELECT oid FROM pg_database WHERE datname = current_database())))"
    " FROM pg_roles WHERE rolname IN (:ours, :theirs)"
)
"""Settings of two users that choose a schema or a role for their sessions."""
_OWN_TABLES: Final = sa.text(
    f"SELECT count(*) FROM pg_tables WHERE tablename = '{runs.name}'"
    " AND schemaname IN (current_user, :theirs) AND strpos(current_setting('search_path'), '$user') > 0"
)
"""Counts our tables in schemas that only one of two users searches."""


def have_different_tables(engine: Engine, ours: str, theirs: str) -> bool:
    """Return whether two users of one database use different tables, by their schemas or settings.

    Args:
        engine: connects as ``ours``.
        ours: the user of this process.
        theirs: the user of another process, who may have been dropped since.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    if engine.dialect.name != "postgresql":
        return False
    with transaction(engine) as connection:
        settings = {
            row.rolname: row[1] for row in connection.execute(_SETTINGS, {"ours": ours, "theirs": theirs})
        }
        if theirs in settings and settings[theirs] != settings.get(ours):
            return True
        return bool(connection.execute(_OWN_TABLES, {"theirs": theirs}).scalar_one())


def belongs_here(engine: Engine, entry: Entry, *, may_be_anothers: bool) -> bool:
    """Return whether an entry that does not name its database belongs in these tables.

    Args:
        engine: connects to these tables.
        entry: the entry, written by an earlier version.
        may_be_anothers: whether that version kept entries for several databases in one folder.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    with transaction(engine) as connection:
        return not (may_be_anothers or _has_own_tables(connection)) or _knows(connection, entry)


def _has_own_tables(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return False
    return bool(connection.execute(_OWN_TABLES, {"theirs": ""}).scalar_one())


def _knows(connection: Connection, entry: Entry) -> bool:
    """Return whether the run of an entry is in these tables."""
    if not isinstance(entry, Snapshot):
        return False
    return connection.execute(sa.select(runs.c.run_id).filter_by(run_id=entry.run_id)).first() is not None
