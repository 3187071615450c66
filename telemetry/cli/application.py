"""The application of the ``flask`` command: its settings and its database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from telemetry._internal.process.standard_output import host_output

if TYPE_CHECKING:
    from flask import Flask

    from telemetry.settings import Settings


def load_app() -> Flask:
    """Return the application; what it prints does not mix with the output of the command."""
    from flask.cli import ScriptInfo

    with host_output():
        return click.get_current_context().ensure_object(ScriptInfo).load_app()


def load_settings() -> Settings:
    """Return the settings of the application, or those of the environment without one."""
    from flask.cli import NoAppException

    from telemetry.settings import Settings, SettingsError
    from telemetry.web.host_settings import settings_of

    try:
        try:
            app = load_app()
        except NoAppException:
            return Settings.load()
        return settings_of(app)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def database_settings(given_url: str | None = None, *, keep_key: bool = True) -> Settings:
    """Return the settings, with a database and without a cache.

    Args:
        given_url: the value of --database-url.
        keep_key: whether to keep the key of the hashes of documents for a database other than that of the
            application, whose documents may have been hashed with another key.
    """
    settings = load_settings()
    url = find_database(given_url or settings.database_url)
    if url != settings.database_url and not keep_key:
        settings = replace(settings, hmac_key="")
    return replace(settings, database_url=url, cache_seconds=0)


def find_database(url: str | None) -> str:
    """Return ``url``, or that of the application's own database if it is empty."""
    if url:
        return url
    from flask.cli import NoAppException

    from telemetry.web.host_database import NoEngine
    from telemetry.web.host_settings import database_url

    try:
        own_url = database_url(load_app())
    except NoAppException as error:
        raise click.ClickException(_without_database(error)) from None
    except NoEngine as error:
        raise click.ClickException(str(error)) from None
    if not own_url:
        raise click.ClickException(_without_database())
    return own_url


def _without_database(error: Exception | None = None) -> str:
    """Return why no database is known, such as an application that cannot be imported."""
    reason = str(error or "").rstrip().rpartition("\n")[2]
    if reason and not reason.startswith("Could not locate a Flask application"):
        return f"no database: the application cannot be loaded ({reason}): repair it, or give --database-url"
    return "no database: set TELEMETRY_DATABASE_URL or give --database-url"


def today(settings: Settings) -> date:
    """Return the current day in the time zone of the settings."""
    return datetime.now(ZoneInfo(settings.timezone)).date()
