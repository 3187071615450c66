"""Turn errors of a command into one line that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from telemetry._internal.urls.secrets import driver_message

from .application import database_settings


@contextmanager
def needs_sql() -> Iterator[None]:
    """Turn an ImportError in the block into one line that names the package."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("exporters"):
            from telemetry.setup.missing import remedy

            raise click.ClickException(f"{error}{remedy(error)}") from None
        raise click.ClickException(f"the database commands need analysis-telemetry[sql] ({error})") from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors of a file, a value or the database in the block into one line."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except BrokenPipeError:
        raise
    except (LookupError, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise unusable(error) from None


@contextmanager
def writing_to(parameter: str, path: Path) -> Iterator[None]:
    """Turn errors of writing ``path`` in the block into one line that names the parameter."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(
            f"{parameter}: {path} cannot be written ({error.strerror or error}): name another place"
        ) from None


@contextmanager
def reading_from(parameter: str) -> Iterator[None]:
    """Turn errors of reading a file in the block into one line that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(f"{parameter}: {error.filename} cannot be read ({reason})") from None


def unusable(error: Exception) -> click.ClickException:
    """Return what is wrong with the database, with the remedy if it was not migrated."""
    from sqlalchemy.exc import OperationalError

    url = click.get_current_context().params.get("database_url") or database_settings().database_url
    # An unreachable server is not queried again: that may take minutes.
    may_be_behind = not isinstance(error, OperationalError) or url.startswith("sqlite")
    way_out = "; run flask telemetry db upgrade" if may_be_behind and _is_behind(url) else ""
    return click.ClickException(f"the database cannot be used: {first_line(error)}{way_out}")


def _is_behind(url: str) -> bool:
    with needs_sql():
        from exporters.sql.schema import migrate
    try:
        return bool(migrate.current(url) != migrate.head())
    except Exception:  # the error that led here is reported anyway
        return False


def first_line(error: Exception) -> str:
    """Return the message of the driver; that of SQLAlchemy contains the statement and its values."""
    from sqlalchemy.exc import NoSuchTableError

    if isinstance(error, NoSuchTableError):
        return f"no such table: {error}"
    return driver_message(error)
