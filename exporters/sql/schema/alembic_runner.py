"""Runs Alembic: finds its scripts, opens its connection, and translates its errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TextIO

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from exporters.sql.database.drivers import usable
from exporters.sql.database.limits import READING, set_limits
from telemetry._internal.urls.secrets import driver_message, without_secrets

VERSION_TABLE = "telemetry_alembic_version"
"""The table that holds the revision of these migrations."""

# Alembic keeps the running migration in module globals.
_one_at_a_time = threading.Lock()


class MigrationError(RuntimeError):
    """The database was not migrated; the message says why, and what to do."""


def head() -> str:
    """Return the newest revision of this version."""
    revision = ScriptDirectory.from_config(configuration()).get_current_head()
    assert revision, "there is at least one migration"
    return revision


def revision_of(connection: Connection) -> str | None:
    """Return the revision that a database is at; None if it was never migrated."""
    return MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    ).get_current_revision()


def run(
    action: Callable[[Config, str], None],
    url_or_engine: str | URL | Engine,
    revision: str,
    output: TextIO | None = None,
    **attributes: object,
) -> None:
    """Run a command of Alembic.

    Args:
        action: called with the configuration and the revision.
        url_or_engine: the database.
        revision: how far to go.
        output: where to print the SQL, if it is only printed.
        attributes: for the migration scripts.

    Raises:
        MigrationError: if Alembic or the database refuses.
    """
    with _one_at_a_time, _connected(url_or_engine) as connection:
        config = configuration()
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


def configuration() -> Config:
    """Return the configuration of Alembic for our scripts."""
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    return config


def _scripts() -> Path:
    """Return the folder of the scripts: inside the installed package, or beside it in a checkout."""
    package = Path(str(resources.files("exporters")))
    installed, checkout = package / "migrations", package.parent / "migrations"
    for scripts in (installed, checkout):
        if (scripts / "env.py").is_file():
            return scripts
    raise MigrationError(
        f"no migration scripts in {installed} or {checkout}: install analysis-telemetry again"
    )


@contextmanager
def looking_at(url_or_engine: str | URL | Engine) -> Iterator[Connection]:
    """Connect for reading, in one transaction, which does not wait long for locks."""
    with _connected(url_or_engine) as connection:
        set_limits(connection, READING)
        yield connection


@contextmanager
def _connected(url_or_engine: str | URL | Engine) -> Iterator[Connection]:
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
    """Return the driver's message in one line."""
    return driver_message(error) or "no reason given"


def _engine(url: str | URL) -> Engine:
    try:
        return sa.create_engine(usable(url, "the database URL"), poolclass=sa.NullPool)
    except (ImportError, ValueError) as error:
        raise MigrationError(f"{error}") from error
