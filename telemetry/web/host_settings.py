"""The settings of telemetry for a Flask application, with its database and key."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import replace
from typing import Any

import flask

from telemetry.settings import Settings, SettingsError

from . import host_app, host_database
from .host_database import Database, NoEngine


def database_url(app: flask.Flask) -> str:
    """Return the URL of the database that telemetry shares with ``app``, or an empty string.

    Raises:
        NoEngine: if the database is not available.
    """
    if url := os.environ.get("TELEMETRY_DATABASE_URL") or app.config.get("TELEMETRY_DATABASE_URL"):
        return str(url)
    state = host_app.state_of(app)
    return host_database.of(app, state.engine if state is not None else None).url


def settings_of(app: flask.Flask) -> Settings:
    """Return the settings of ``app``, with its database.

    Raises:
        SettingsError: if they are invalid or the database is not available.
    """
    state = host_app.state_of(app)
    try:
        return read(app, state.engine if state is not None else None)[0]
    except NoEngine as error:
        raise SettingsError(str(error)) from error


def read(app: flask.Flask, engine: Any) -> tuple[Settings, Database]:
    """Return the settings of ``app``, and the database of ``engine`` or of Flask-SQLAlchemy.

    Raises:
        SettingsError: if a setting is invalid.
        NoEngine: if the database is not available, and no setting names one.
    """
    settings = Settings.load(config=app.config)
    if not settings.enabled:
        return settings, Database()
    database = Database()
    try:
        database = host_database.of(app, engine)
    except NoEngine:
        if not settings.database_url:
            raise
    if not settings.database_url:
        settings = replace(settings, database_url=database.url)
    if not settings.hmac_key:
        settings = _with_key(settings, app.config.get("SECRET_KEY"))
    return settings, database


def _with_key(settings: Settings, secret: object) -> Settings:
    """Derive the hash key from the application's secret, so that all its processes share it."""
    if not secret:
        return settings
    raw = bytes(secret) if isinstance(secret, bytes | bytearray) else str(secret).encode()
    return replace(
        settings, hmac_key=hmac.new(raw, b"analysis-telemetry documents", hashlib.sha256).hexdigest()
    )
