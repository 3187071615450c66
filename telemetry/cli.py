"""``flask telemetry …``: the commands of an operator.

Flask loads this module on every ``flask`` command, so it imports nothing but click; the rest comes inside
the commands.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import click

MIGRATE_GROUP = "analysis_telemetry_migrate"


@click.group("telemetry")
def cli() -> None:
    """Observability of this application's analyses."""


@cli.group()
def db() -> None:
    """Tables and columns of telemetry in the application's database."""


@db.command()
@click.option(
    "--with-base-tables",
    is_flag=True,
    help="Also create users, analyses and candidate_files where they are missing.",
)
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def upgrade(with_base_tables: bool, database_url: str | None) -> None:
    """Add what is missing; nothing that is there is changed."""
    migrate = _migrate()
    _run(migrate, migrate.upgrade, _database(database_url), with_base_tables=with_base_tables)
    click.echo(f"The database is at {migrate.current(_database(database_url))}.")


@db.command()
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
@click.confirmation_option(prompt="This drops what telemetry added, its data included. Go on?")
def downgrade(database_url: str | None) -> None:
    """Drop what the upgrade added, and only that."""
    migrate = _migrate()
    _run(migrate, migrate.downgrade, _database(database_url))
    click.echo("What telemetry added is gone.")


@db.command()
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def current(database_url: str | None) -> None:
    """Say which revision the database is at; exit 1 unless it is the newest."""
    migrate = _migrate()
    revision, head = migrate.current(_database(database_url)), migrate.head()
    if revision == head:
        click.echo(revision)
        return
    click.echo(f"{revision or 'none'} (newest: {head}; run flask telemetry db upgrade)")
    raise SystemExit(1)


def _migrate() -> Any:
    found = list(entry_points(group=MIGRATE_GROUP))
    if not found:
        raise click.ClickException(
            "analysis-telemetry is not installed in this environment: pip install it, a path is not enough"
        )
    try:
        return found[0].load()
    except ImportError as error:
        raise click.ClickException(f"the database commands need analysis-telemetry[sql] ({error})") from None


def _run(migrate: Any, action: Any, *args: Any, **options: Any) -> None:
    try:
        action(*args, **options)
    except migrate.MigrationError as error:
        raise click.ClickException(str(error)) from None


def _database(url: str | None) -> str:
    """Return the URL that was given, else that of the application the ``flask`` command found."""
    if url:
        return url
    from flask.cli import ScriptInfo

    from .flask import database_url

    found = database_url(click.get_current_context().ensure_object(ScriptInfo).load_app())
    if not found:
        raise click.ClickException("no database: set TELEMETRY_DATABASE_URL or give --database-url")
    return found
