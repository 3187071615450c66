"""Upgrades a database to the schema of this version, and downgrades it.

Usage:
    >>> from exporters.sql.schema import migrate
    >>> migrate.upgrade("sqlite:///app.sqlite")

The host's tables must exist, so its own migrations run first. Only what is missing is added and recorded in
`telemetry_added_objects`; `downgrade` drops that and nothing else. Concurrent migrations are safe, and no
host table is locked for longer than a moment; see :mod:`.migration_lock`.

The revision is in a version table of its own, beside the host's. A host that autogenerates its own migrations
passes `include_object` to Alembic in its `env.py`, so that these ignore what belongs to telemetry:

    context.configure(..., include_object=exporters.sql.schema.migrate.include_object)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import StringIO
from typing import Any, Final

from alembic import command
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.engine import URL, Connection, Engine

from exporters.sql.host.check import lost, problems
from exporters.sql.host.columns import Writable

from .alembic_runner import VERSION_TABLE as VERSION_TABLE
from .alembic_runner import MigrationError as MigrationError
from .alembic_runner import configuration, looking_at, revision_of, run
from .alembic_runner import head as head
from .losses import Loss, losses
from .tables import HOST_COLUMNS, HOST_INDEXES, metadata

UNRELEASED: Final = tuple(f"{number:04}" for number in range(1, 17))
"""The revisions of versions before the first release, which four others replaced."""

LOCK_PATIENCE_SECONDS = 60.0
"""Seconds to wait for locks in all before giving up."""


def upgrade(
    url_or_engine: str | URL | Engine,
    *,
    with_base_tables: bool = False,
    revision: str = "head",
    patience: float = LOCK_PATIENCE_SECONDS,
) -> None:
    """Add what `revision` needs and the database lacks.

    The application's tables are checked first: what cannot work is refused before anything is changed.

    Args:
        url_or_engine: The host's database, PostgreSQL or SQLite.
        with_base_tables: Also create `users`, `analyses` and `candidate_files` where they are missing. For
            examples and tests; a host has its own.
        revision: How far to go.
        patience: Seconds to wait, in all, for other migrators and for host sessions that hold locks.

    Raises:
        MigrationError: A host table is missing or does not fit, a lock could not be had in time, the revision
            is not known, or the database cannot be reached or refuses. What was done stays, the next call
            goes on.
    """
    _check(url_or_engine, with_base_tables=with_base_tables)
    run(
        command.upgrade, url_or_engine, revision, with_base_tables=with_base_tables, patience_seconds=patience
    )


def left_out(url_or_engine: str | URL | Engine) -> list[str]:
    """Return a phrase for each column that telemetry does without in a migrated database.

    Raises:
        MigrationError: The database cannot be reached.
    """
    with looking_at(url_or_engine) as connection:
        return Writable.of(connection).left_out()


def downgrade(
    url_or_engine: str | URL | Engine,
    revision: str = "base",
    *,
    with_base_tables: bool = False,
    patience: float = LOCK_PATIENCE_SECONDS,
) -> None:
    """Drop what the revisions after `revision` added, and nothing else. Its data goes with it.

    Args:
        url_or_engine: The host's database, PostgreSQL or SQLite (3.35 or newer).
        revision: How far to go back; "base" leaves nothing of ours.
        with_base_tables: Also drop `users`, `analyses` and `candidate_files` where the upgrade created them
            and they have rows: those are the data of the application itself.
        patience: Seconds to wait, in all, for other migrators and for host sessions that hold locks.

    Raises:
        MigrationError: As `upgrade` does, and if such tables have rows that it was not asked to drop.
    """
    _spare_base_tables(url_or_engine, revision, with_base_tables)
    run(
        command.downgrade,
        url_or_engine,
        revision,
        with_base_tables=with_base_tables,
        patience_seconds=patience,
    )


def downgrade_losses(url_or_engine: str | URL | Engine, revision: str = "base") -> list[Loss]:
    """Return the tables and the columns with values that `downgrade` to `revision` drops now.

    Raises:
        MigrationError: The revision is not known, or the database cannot be reached.
    """
    with looking_at(url_or_engine) as connection:
        _refuse_unreleased(connection)
        begin = revision_of(connection)
        if begin is None:
            return []
        try:
            scripts = ScriptDirectory.from_config(configuration())
            taken_back = [script.revision for script in scripts.iterate_revisions(begin, revision)]
            broken_off = [script.revision for script in scripts.iterate_revisions("head", begin)]
        except (CommandError, RevisionError) as error:
            raise MigrationError(
                f"{error}: this version knows the revisions up to {head()}; correct the revision"
            ) from error
        return losses(connection, [*taken_back, *broken_off]) if taken_back else []


def _spare_base_tables(url_or_engine: str | URL | Engine, revision: str, with_base_tables: bool) -> None:
    """Refuse to drop the application's own data unless that was asked for.

    Raises:
        MigrationError: Some would be dropped, and that was not asked for.
    """
    base = [loss for loss in downgrade_losses(url_or_engine, revision) if loss.is_base and loss.rows]
    if base and not with_base_tables:
        raise MigrationError(
            f"this would drop the data of the application itself ({'; '.join(map(str, base))}), because an"
            " upgrade --with-base-tables created these tables: pass --with-base-tables again to drop them,"
            " too, or --revision 1_base_tables to keep them"
        )


def upgrade_sql(url_or_engine: str | URL | Engine, *, revision: str = "head") -> str:
    """Return the SQL that `upgrade` would run on this database now, to be read, or run by somebody else.

    Nothing is changed. Run as a script it should stop at the first error (`psql -v ON_ERROR_STOP=1`); what is
    left then is what this returns next.

    Args:
        url_or_engine: The host's database, PostgreSQL or SQLite.
        revision: How far to go.

    Raises:
        MigrationError: A host table is missing, the revision is not known, or the database cannot be reached.
    """
    _check(url_or_engine)
    return _sql(command.upgrade, url_or_engine, revision)


def downgrade_sql(
    url_or_engine: str | URL | Engine, revision: str = "base", *, with_base_tables: bool = False
) -> str:
    """Return the SQL that `downgrade` would run on this database now.

    Raises:
        MigrationError: As `upgrade_sql` does, and as `downgrade` does where base tables have rows.
    """
    _spare_base_tables(url_or_engine, revision, with_base_tables)
    script = _sql(command.downgrade, url_or_engine, revision)
    return f"{script}DROP TABLE {VERSION_TABLE};\n" if script and revision == "base" else script


def current(url_or_engine: str | URL | Engine) -> str | None:
    """Return the revision of the database; None if it was never migrated.

    Raises:
        MigrationError: The database cannot be reached.
    """
    with looking_at(url_or_engine) as connection:
        return revision_of(connection)


def include_object(
    object_: Any, name: str | None, type_: str, reflected: bool, compare_to: object | None
) -> bool:
    """Exclude what telemetry added from the host's autogenerate (for Alembic's `include_object`).

    Only objects found in the database and absent from the host's own models are left out: a host that
    declares one of these columns itself goes on managing it.
    """
    if not reflected or compare_to is not None:
        return True
    if type_ == "table":
        return name != VERSION_TABLE and name not in metadata.tables
    if type_ == "column":
        return name not in {column.name for column in HOST_COLUMNS.get(object_.table.name, ())}
    if type_ == "index":
        return name not in {index.name for index in HOST_INDEXES}
    return True


def _check(url_or_engine: str | URL | Engine, *, with_base_tables: bool = False) -> None:
    """Refuse a database whose tables do not fit, with a line for each problem."""
    with looking_at(url_or_engine) as connection:
        _refuse_unreleased(connection)
        found = problems(connection, with_base_tables=with_base_tables)
    if found:
        raise MigrationError("\n".join(map(str, found)))


def _refuse_unreleased(connection: Connection) -> None:
    """Refuse a database that a version from before the first release migrated: it cannot be upgraded.

    Raises:
        MigrationError: It is such a database.
    """
    revision = revision_of(connection)
    if revision in UNRELEASED:
        raise MigrationError(
            f"the database is at revision {revision} of a version from before the first release, which this"
            " version cannot go on from: with the version that migrated it run flask telemetry db downgrade"
            " (what telemetry recorded is lost), then with this one flask telemetry db upgrade"
        )


def _sql(action: Callable[..., None], url_or_engine: str | URL | Engine, revision: str) -> str:
    begin, end = current(url_or_engine), head() if revision == "head" else revision
    if (begin or "base") == end and not (end == head() and _has_lost(url_or_engine)):
        return ""
    printed = StringIO()
    run(partial(action, sql=True), url_or_engine, f"{begin or 'base'}:{revision}", output=printed)
    return printed.getvalue()


def _has_lost(url_or_engine: str | URL | Engine) -> bool:
    """Return whether columns of ours were dropped from the application's tables."""
    with looking_at(url_or_engine) as connection:
        return bool(lost(connection))
