"""``flask telemetry …``: the commands of an operator.

Flask loads this module on every ``flask`` command, so it imports nothing but click; the rest comes inside
the commands.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import click

MIGRATE_GROUP = "analysis_telemetry_migrate"
COMMANDS_GROUP = "analysis_telemetry_commands"

_DAY: Final = click.DateTime(["%Y-%m-%d"])


@click.group("telemetry")
def cli() -> None:
    """Observability of this application's analyses."""


@cli.command()
def doctor() -> None:
    """Say what works, what does not, and what to do; exit 1 if anything is wrong."""
    from flask.cli import ScriptInfo

    from .doctor import main

    raise SystemExit(main(click.get_current_context().ensure_object(ScriptInfo).load_app))


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


@cli.command()
@click.option(
    "--since", type=_DAY, required=True, help="First day (UTC) on which the runs began: 2026-10-01."
)
@click.option("--until", type=_DAY, help="The first day they did not begin on any more. Default: no end.")
@click.option("--model", default="*", show_default=True, help="Which models, as a glob.")
@click.option("--provider", type=click.Choice(["openai", "azure"]), default="openai", show_default=True)
@click.option("--prices-file", type=click.Path(), help="Default: TELEMETRY_PRICES_FILE.")
@click.option("--apply", is_flag=True, help="Write the new prices. Default: only show what would change.")
@click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
def reprice(prices_file: str | None, database_url: str | None, **selection: Any) -> None:
    """Price recorded calls again, after a price changed or became known.

    The old value is kept. Exit 1 if the price file or the database cannot be used.
    """
    command = _load(COMMANDS_GROUP, "reprice")
    from sqlalchemy.exc import SQLAlchemyError

    from .pricing import prices
    from .settings import SettingsError

    selection |= {end: selection[end] and selection[end].date() for end in ("since", "until")}
    if selection["until"] and selection["until"] <= selection["since"]:
        raise click.BadParameter("must be later than --since", param_hint="--until")
    try:
        settings = _settings()
        url = _database(database_url or settings.database_url)
        report = command(
            url,
            prices(Path(prices_file) if prices_file else settings.prices_file),
            # The key belongs to the application's own database.
            hmac_key=settings.hmac_key if url == settings.database_url else "",
            **selection,
        )
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise click.ClickException(f"the database cannot be used: {reason}") from None
    for line in report.lines():
        click.echo(line)


def _settings() -> Any:
    """Return the settings of the application the ``flask`` command found, else those of the environment."""
    from flask.cli import NoAppException, ScriptInfo

    from .flask import EXTENSION, _settings
    from .settings import Settings

    try:
        app = click.get_current_context().ensure_object(ScriptInfo).load_app()
    except NoAppException:
        return Settings.load()
    settings = _settings(app, getattr(app.extensions.get(EXTENSION), "engine", None))
    if settings is None:
        raise click.ClickException("the settings cannot be used (see above)")
    return settings


def _migrate() -> Any:
    return _load(MIGRATE_GROUP, "default")


def _load(group: str, name: str) -> Any:
    found = list(entry_points(group=group, name=name))
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
