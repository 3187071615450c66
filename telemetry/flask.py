"""The Flask extension: one line in the application, or two with the factory pattern.

Usage::

    from telemetry.flask import Telemetry

    Telemetry(app, engine=lambda: db.engine)

It reads TELEMETRY_* from the environment and from ``app.config``, takes the database from the application's
own engine and the hash key from its SECRET_KEY, and instruments Flask. It never keeps a reference to the
application.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from typing import Any

import flask

from ._guard import guarded
from .settings import Settings, SettingsError
from .setup import not_seen, pipeline, setup_telemetry

_log = logging.getLogger("telemetry")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

EXTENSION = "telemetry"
"""Key in ``app.extensions``."""


class Telemetry:
    """Observability for a Flask application."""

    def __init__(self, app: flask.Flask | None = None, **options: Any) -> None:
        """Remember ``options`` (see :meth:`init_app`); with ``app``, initialise it at once."""
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: flask.Flask,
        *,
        engine: Any = None,
        admin_required: Decorator | None = None,
        track_warnings: bool | None = None,
        current_user_id: Callable[[], int | str | None] | None = None,
    ) -> None:
        """Set telemetry up for ``app``.

        Args:
            app: the application.
            engine: the application's SQLAlchemy engine, or a callable that returns it inside the
                application context. Default: TELEMETRY_DATABASE_URL, else Flask-SQLAlchemy's engine.
            admin_required: the application's own decorator of views that only admins may see. Without it
                there are no such views.
            track_warnings: whether the application's pages may tell what their users are warned of, at
                ``/api/track-warning``. Default: no.
            current_user_id: returns the id of the user who is signed in, as in `users`, or None. Default:
                Flask-Login's.
        """
        self.engine = engine = self._options.get("engine") if engine is None else engine
        admin_required = admin_required or self._options.get("admin_required")
        current_user_id = current_user_id or self._options.get("current_user_id")
        if track_warnings is None:
            track_warnings = self._options.get("track_warnings", False)
        app.extensions[EXTENSION] = self
        with guarded("setup"):
            settings = _settings(app, engine)
            if settings is None or setup_telemetry(settings, engines=_engines(app, engine)) is None:
                return
            _instrument(app)
            _listen_to_commits()
            if admin_required is not None:
                from ._export_view import blueprint

                app.register_blueprint(blueprint(settings, admin_required))
            if track_warnings:
                from . import _warning_views

                app.register_blueprint(_warning_views.blueprint(settings, current_user_id))


def _settings(app: flask.Flask, engine: Any) -> Settings | None:
    try:
        settings = Settings.load(config=app.config)
        if not settings.database_url:
            settings = Settings.load(config=app.config, database_url=database_url(app, engine))
        if not settings.hmac_key:
            settings = _with_key(settings, app.config.get("SECRET_KEY"))
    except SettingsError as error:
        _log.error("telemetry is off: %s", error)
        return None
    return settings


def _with_key(settings: Settings, secret: Any) -> Settings:
    """Derive the hash key from the application's secret, so that all its processes have the same."""
    from dataclasses import replace

    if not secret:
        return settings
    raw = secret.encode() if isinstance(secret, str) else bytes(secret)
    return replace(
        settings, hmac_key=hmac.new(raw, b"analysis-telemetry documents", hashlib.sha256).hexdigest()
    )


def database_url(app: flask.Flask, engine: Any = None) -> str:
    """Return the URL of the database that telemetry shares with ``app``; empty when it has none."""
    if url := os.environ.get("TELEMETRY_DATABASE_URL") or app.config.get("TELEMETRY_DATABASE_URL"):
        return str(url)
    engines = _engines(app, engine or getattr(app.extensions.get(EXTENSION), "engine", None))
    return str(engines[0].url.render_as_string(hide_password=False)) if engines else ""


def _engines(app: flask.Flask, engine: Any) -> list[Any]:
    """Return the engines of ``app``, the one that telemetry shares first."""
    with app.app_context():
        if engine is not None:
            return [engine() if callable(engine) else engine]
        if "sqlalchemy" not in app.extensions:
            return []
        database = app.extensions["sqlalchemy"]
        return [database.engine, *(other for name, other in database.engines.items() if name is not None)]


def _instrument(app: flask.Flask) -> None:
    try:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
    except ImportError as error:
        not_seen("flask", error)
        return
    if not getattr(app, "_is_instrumented_by_opentelemetry", False):
        FlaskInstrumentor().instrument_app(app)  # type: ignore[no-untyped-call]


_listening = False


def _listen_to_commits() -> None:
    """Let the writer know when the application commits: a row it waits for may be there."""
    global _listening
    if _listening:
        return
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    event.listen(Session, "after_commit", _committed)
    _listening = True


def _committed(_: Any) -> None:
    with guarded("writer"):
        current = pipeline()
        if current is not None:
            current.host_committed()
