"""Run the migrations on one connection: one migrator at a time, host tables locked for moments only.

`exporters.sql.schema.migrate` passes the connection. Alembic's own command line works too (`alembic
revision`, `alembic check`) with TELEMETRY_DATABASE_URL set.
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import context

from exporters.sql.schema.additions import complete
from exporters.sql.schema.migrate import LOCK_PATIENCE_SECONDS, VERSION_TABLE, MigrationError
from exporters.sql.schema.migration_lock import (
    LOCK_TIMEOUT,
    Patience,
    begin_writing,
    lock_timeout,
    one_migrator,
)
from exporters.sql.schema.tables import metadata

config = context.config


def migrate(connection: sa.Connection) -> None:
    connection.rollback()  # what a failed try left open
    if connection.dialect.name == "sqlite":
        # All revisions are one transaction, and a second migrator sees all of them or none.
        begin_writing(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=is_ours,
        version_table=VERSION_TABLE,
        # Otherwise one each, so that no host table stays locked while another is waited for.
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
        drop_empty_version_table(connection)
        complete_host_tables()
    connection.commit()


def drop_empty_version_table(connection: sa.Connection) -> None:
    """A database that was taken back to the start shows no trace."""
    running = context.get_context()
    if not running.get_current_heads():
        connection.execute(sa.text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))


def complete_host_tables() -> None:
    """At the newest revision, also mend what the application's own migrations took away since."""
    running = context.get_context()
    if set(running.get_current_heads()) == set(context.script.get_heads()):
        complete(running)


def is_ours(name: str | None, type_: str, _: object) -> bool:
    """Autogenerate, run here, minds the tables of this project only."""
    return type_ != "table" or name in metadata.tables


def run(connection: sa.Connection) -> None:
    patience = config.attributes["patience"] = Patience(
        config.attributes.get("patience_seconds", LOCK_PATIENCE_SECONDS)
    )
    with one_migrator(connection, patience):
        patience.retry(lambda: migrate(connection))


def print_sql(connection: sa.Connection) -> None:
    """Write what there is to do into the configuration's output; look at the database, change nothing."""
    config.attributes["patience"] = Patience(LOCK_PATIENCE_SECONDS)
    context.configure(
        dialect_name=connection.dialect.name,
        literal_binds=True,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
    )
    if connection.dialect.name == "postgresql":
        context.execute(lock_timeout(LOCK_TIMEOUT))
    with context.begin_transaction():
        context.run_migrations()
        if context.get_revision_argument() == context.get_head_revision():
            complete(context.get_context())


def main() -> None:
    if context.is_offline_mode():
        if "connection" not in config.attributes:
            raise MigrationError(
                "migrations look at what is there: use flask telemetry db upgrade --sql, which does"
            )
        return print_sql(config.attributes["connection"])
    if connection := config.attributes.get("connection"):
        return run(connection)
    url = os.environ.get("TELEMETRY_DATABASE_URL")
    if not url:
        raise MigrationError(
            "set TELEMETRY_DATABASE_URL to the database to migrate, as in sqlite:///app.sqlite"
        )
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        config.attributes["connection"] = connection
        run(connection)


main()
