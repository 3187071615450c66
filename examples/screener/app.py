"""The application factory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from flask import Flask, render_template
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]
from openai import OpenAIError
from sqlalchemy import inspect
from werkzeug.exceptions import HTTPException

from telemetry import Telemetry

from . import admin, analyses, auth, commands, jobs, uploads
from .config import DEVELOPMENT_KEY, Settings
from .models import Heartbeat, db
from .web import wants_json

MAX_UPLOAD = 100 * 1024 * 1024
"""Maximum bytes of one upload."""

csrf = CSRFProtect()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the app from the environment; `config` overrides it and may hold any setting of Flask.

    Raises:
        ValueError: a setting is invalid; the message names it.
    """
    config = dict(config or {})
    settings = Settings.load({**os.environ, **config})
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=_engine_options(settings.database_url),
        MAX_CONTENT_LENGTH=MAX_UPLOAD,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.setdefault("TELEMETRY_BATCH_MAX_DOCUMENTS", settings.resume_limit)
    app.config.update(config)
    app.extensions["screener"] = settings
    _extend(app)
    if settings.secret_key == DEVELOPMENT_KEY and not (app.debug or app.testing):
        app.logger.warning("SECRET_KEY is not set: sessions are signed with a key that everybody knows")
    return app


def init_db(app: Flask) -> None:
    """Create missing tables; existing ones are not changed."""
    with app.app_context():
        db.create_all()


def is_set_up(app: Flask) -> bool:
    """Return whether the tables have been created."""
    with app.app_context():
        return inspect(db.engine).has_table(Heartbeat.__tablename__)


def _engine_options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 5}}  # seconds to wait for another process's lock
    return {"pool_pre_ping": True}


def _extend(app: Flask) -> None:
    db.init_app(app)
    Telemetry(
        app,
        admin_required=auth.admin_required,
        track_warnings=True,
        jobs_waiting=jobs.number_waiting,
        worker_heartbeat=jobs.worker_seen,
    )
    csrf.init_app(app)
    auth.login_manager.init_app(app)
    for blueprint in (auth.bp, uploads.bp, analyses.bp, admin.bp):
        app.register_blueprint(blueprint)
    app.add_url_rule("/health", "health", lambda: {"status": "ok"})
    app.cli.add_command(commands.cli)
    app.register_error_handler(HTTPException, _show_error)
    app.register_error_handler(OpenAIError, _show_openai_error)


def _show_error(error: HTTPException) -> ResponseReturnValue:
    return _error_page(error.code or 500, error.name, error.description or "")


def _show_openai_error(error: OpenAIError) -> ResponseReturnValue:
    """Show the message of an OpenAI error, above all that of a missing OPENAI_API_KEY."""
    return _error_page(503, "The assistant is not available", str(error))


def _error_page(code: int, name: str, description: str) -> ResponseReturnValue:
    if wants_json():
        return {"error": description}, code
    return render_template("error.html", code=code, name=name, description=description), code
