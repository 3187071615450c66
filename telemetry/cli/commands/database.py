"""``flask telemetry db``: tables and columns of telemetry in the application's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import click

from ..application import find_database
from ..errors import first_line, needs_sql, one_line_errors
from ..options import database_option


@click.group()
def db() -> None:
    """Tables and columns of telemetry in the database."""


@db.command()
@click.option(
    "--with-base-tables",
    is_flag=True,
    help="Also create users, analyses and candidate_files where they are missing.",
)
@database_option
@click.option("--sql", is_flag=True, help="Print the SQL for this database instead of running it.")
def upgrade(with_base_tables: bool, database_url: str | None, sql: bool) -> None:
    """Add what is missing; nothing that exists is changed."""
    with needs_sql():
        from exporters.sql.schema import migrate
    if sql:
        _print_sql(migrate.upgrade_sql, database_url)
        return
    url = find_database(database_url)
    with _migration_errors():
        before = migrate.current(url)
        migrate.upgrade(url, with_base_tables=with_base_tables)
        revision = migrate.current(url)
        left_out = migrate.left_out(url) if revision != before else ()
    for addition in left_out:
        click.echo(f"Telemetry does without {addition}.", err=True)
    click.echo(f"The database is at {revision}.")


@db.command()
@database_option
@click.option("--sql", is_flag=True, help="Print the SQL for this database instead of running it.")
@click.option("--revision", default="base", show_default=True, help="Where to go back to: 1_base_tables.")
@click.option(
    "--with-base-tables",
    is_flag=True,
    help="Also drop users, analyses and candidate_files with their rows, where the upgrade created them.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(database_url: str | None, sql: bool, revision: str, with_base_tables: bool, yes: bool) -> None:
    """Drop what the upgrade added, and only that; first list what is lost."""
    with needs_sql():
        from exporters.sql.schema import migrate
    url = find_database(database_url)
    if sql:
        _print_sql(partial(migrate.downgrade_sql, revision=revision, with_base_tables=with_base_tables), url)
        return
    go_back = partial(migrate.downgrade, url, revision=revision, with_base_tables=with_base_tables)
    with _migration_errors():
        lost = migrate.downgrade_losses(url, revision)
        if any(loss.is_base and loss.rows for loss in lost) and not with_base_tables:
            go_back()  # refuses, and says why
    click.echo("This drops what telemetry added, including its data:")
    for loss in lost:
        click.echo(f"  {loss}")
    if not yes:
        click.confirm("Go on?", abort=True)
    with _migration_errors():
        go_back()
        revision_now = migrate.current(url)
    click.echo(f"The database is at {revision_now}." if revision_now else "What telemetry added is gone.")


@db.command()
@database_option
def current(database_url: str | None) -> None:
    """Print the revision of the database; exit 1 unless it is the newest."""
    with needs_sql():
        from exporters.sql.schema import migrate
    url = find_database(database_url)
    with _migration_errors():
        revision, head = migrate.current(url), migrate.head()
    if revision == head:
        click.echo(revision)
        return
    click.echo(f"{revision or 'none'} (newest: {head}; run flask telemetry db upgrade)")
    raise SystemExit(1)


@db.command()
@database_option
@click.option("--name", default="grafana", show_default=True, help="Name of the role.")
def role(database_url: str | None, name: str) -> None:
    """Print the SQL for a role that may read the views and nothing else."""
    with needs_sql():
        from exporters.sql.schema.roles import role_sql
    with one_line_errors():
        sql = role_sql(find_database(database_url), name)
    click.echo(sql, nl=False)


@contextmanager
def _migration_errors() -> Iterator[None]:
    """Turn errors of reading or changing the schema into one line."""
    from sqlalchemy.exc import SQLAlchemyError

    from exporters.sql.schema.migrate import MigrationError

    try:
        yield
    except MigrationError as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database cannot be used: {first_line(error)}") from None


def _print_sql(action: Callable[[str], str], database_url: str | None) -> None:
    url = find_database(database_url)
    with _migration_errors():
        printed = action(url)
    click.echo(printed or "-- There is nothing to do.\n", nl=False)
