"""Bring a database to the schema of this version, and back.

Usage:
    >>> from exporters.sql.schema import migrate
    >>> migrate.upgrade("sqlite:///app.sqlite")

The host's tables must be there: its own migrations run first. Only what is missing is added, everything added
is remembered in `telemetry_added_objects`, and `downgrade` drops that and nothing else. Two migrators at once
are safe, and no host table is locked for longer than a moment; :mod:`.migration_lock` sees to that.

The history stands in its own version table, beside the host's. A host that autogenerates its own migrations
passes `include_object` to Alembic, in its `env.py`, so that what belongs here is left alone:

    context.configure(..., include_object=exporters.sql.schema.migrate.include_object)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any, Final, TextIO

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from exporters.sql.database.drivers import usable
from exporters.sql.database.engine import READING, set_limits
from exporters.sql.host.check import lost, problems
from exporters.sql.host.columns import Writable
from telemetry._internal.secrets import driver_message, without_secrets

from .losses import Loss, losses
from .tables import HOST_COLUMNS, HOST_INDEXES, metadata

VERSION_TABLE = "telemetry_alembic_version"
"""Where the history of these migrations stands."""

UNRELEASED: Final = tuple(f"{number:04}" for number in range(1, 17))
"""The revisions of versions from before the first release, which four took the place of."""

LOCK_PATIENCE_SECONDS = 60.0
"""Seconds to wait for locks in all before giving up."""

# Alembic keeps the running migration in module globals.
_one_at_a_time = threading.Lock()


class MigrationError(RuntimeError):
    """The database was not migrated; the message says why, and the way out, in one line."""


def upgrade(
    url_or_engine: str | URL | Engine,
    *,
    with_base_tables: bool = False,
    revision: str = "head",
    patience: float = LOCK_PATIENCE_SECONDS,
) -> None:
    """Add what `revision` needs and the database lacks. Does nothing on a database that has it.

    The application's tables are looked at first: what cannot work is refused before anything is changed.

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
    _run(
        command.upgrade, url_or_engine, revision, with_base_tables=with_base_tables, patience_seconds=patience
    )


def left_out(url_or_engine: str | URL | Engine) -> list[str]:
    """Return what telemetry does without in a migrated database: a part of a sentence for each column.

    Raises:
        MigrationError: The database cannot be reached.
    """
    with _looking_at(url_or_engine) as connection:
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
        MigrationError: As `upgrade` does, and where such tables have rows that nobody said to drop.
    """
    _spare_base_tables(url_or_engine, revision, with_base_tables)
    _run(
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
    with _looking_at(url_or_engine) as connection:
        _refuse_unreleased(connection)
        begin = _revision_of(connection)
        if begin is None:
            return []
        try:
            scripts = ScriptDirectory.from_config(_config())
            taken_back = [script.revision for script in scripts.iterate_revisions(begin, revision)]
            broken_off = [script.revision for script in scripts.iterate_revisions("head", begin)]
        except (CommandError, RevisionError) as error:
            raise MigrationError(
                f"{error}: this version knows the revisions up to {head()}; correct the revision"
            ) from error
        return losses(connection, [*taken_back, *broken_off]) if taken_back else []


def _spare_base_tables(url_or_engine: str | URL | Engine, revision: str, with_base_tables: bool) -> None:
    """Refuse to drop the application's own data by the way.

    Raises:
        MigrationError: Some would be dropped, and nobody said so.
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
    """The revision the database is at, or None if it was never migrated.

    Raises:
        MigrationError: The database cannot be reached.
    """
    with _looking_at(url_or_engine) as connection:
        return _revision_of(connection)


def head() -> str:
    """The newest revision of this version."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision, "there is at least one migration"
    return revision


def include_object(
    object_: Any, name: str | None, type_: str, reflected: bool, compare_to: object | None
) -> bool:
    """Keep the host's autogenerate off what was added here (for Alembic's `include_object`).

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
    with _looking_at(url_or_engine) as connection:
        _refuse_unreleased(connection)
        found = problems(connection, with_base_tables=with_base_tables)
    if found:
        raise MigrationError("\n".join(map(str, found)))


def _revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()


def _refuse_unreleased(connection: Connection) -> None:
    """Refuse a database that a version from before the first release migrated: no way leads on from there.

    Raises:
        MigrationError: It is one.
    """
    revision = _revision_of(connection)
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
    _run(partial(action, sql=True), url_or_engine, f"{begin or 'base'}:{revision}", output=printed)
    return printed.getvalue()


def _has_lost(url_or_engine: str | URL | Engine) -> bool:
    """Say whether columns of ours are gone from the application's tables."""
    with _looking_at(url_or_engine) as connection:
        return bool(lost(connection))


def _run(
    action: Callable[[Config, str], None],
    url_or_engine: str | URL | Engine,
    revision: str,
    output: TextIO | None = None,
    **attributes: object,
) -> None:
    with _one_at_a_time, _connection(url_or_engine) as connection:
        config = _config()
        config.attributes.update(attributes, connection=connection)
        if output is not None:
            config.output_buffer = output
        try:
            action(config, revision)
        except CommandError as error:
            raise MigrationError(
                f"{error}: this version knows the revisions up to {head()}; "
                "correct the revision, or install the newer version that migrated this database"
            ) from error
        except DBAPIError as error:
            statement = " ".join((error.statement or "").split())
            raise MigrationError(
                f"the database refused {statement[:80]!r}: {_reason(error)}; "
                "put that right and run it again: what is done stays done"
            ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    return config


def _scripts() -> Path:
    """The migration scripts: inside the package when installed, beside it in a checkout."""
    package = Path(str(resources.files("exporters")))
    installed, checkout = package / "migrations", package.parent / "migrations"
    for scripts in (installed, checkout):
        if (scripts / "env.py").is_file():
            return scripts
    raise MigrationError(
        f"no migration scripts in {installed} or {checkout}: install analysis-telemetry again"
    )


@contextmanager
def _looking_at(url_or_engine: str | URL | Engine) -> Iterator[Connection]:
    """Connect to only read: in one transaction, which waits for nobody for long."""
    with _connection(url_or_engine) as connection:
        set_limits(connection, READING)
        yield connection


@contextmanager
def _connection(url_or_engine: str | URL | Engine) -> Iterator[Connection]:
    engine = url_or_engine if isinstance(url_or_engine, Engine) else _engine(url_or_engine)
    if engine.dialect.name not in ("postgresql", "sqlite"):
        raise MigrationError(f"only PostgreSQL and SQLite are supported, not {engine.dialect.name}")
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise MigrationError(
            f"cannot connect to {without_secrets(repr(engine.url))}: {_reason(error)}"
        ) from error
    with connection:
        yield connection


def _reason(error: DBAPIError) -> str:
    """What the driver says, in one line."""
    return driver_message(error) or "no reason given"


def _engine(url: str | URL) -> Engine:
    try:
        return sa.create_engine(usable(url, "the database URL"), poolclass=sa.NullPool)
    except (ImportError, ValueError) as error:
        raise MigrationError(f"{error}") from error
