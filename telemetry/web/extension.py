"""The Flask extension: one line in an application, two with an application factory.

Usage::

    from telemetry import Telemetry

    Telemetry(app, engine=lambda: db.engine)

It reads TELEMETRY_* from the environment and from ``app.config``, takes the database from the application's
own engine and the hash key from its SECRET_KEY, and instruments Flask. It never keeps a reference to the
application. If the database is not available yet, as before ``db.init_app(app)``, set-up happens on first
use: an application context, a request, or a run.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import flask

from telemetry._internal.context import NOBODY, waiting
from telemetry._internal.guard import guarded
from telemetry.settings import Settings, SettingsError
from telemetry.setup import process as setup
from telemetry.setup.instrumentation import not_seen

from . import host_app, host_database
from .host_app import EXTENSION
from .host_database import Database, NoEngine
from .reloader import leave_to_child

if TYPE_CHECKING:
    from .host_database import EngineSource

__all__ = ["EXTENSION", "Telemetry"]

_log = logging.getLogger("telemetry")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
UserId = Callable[[], int | str | None]


class Telemetry:
    """Observability for a Flask application."""

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        engine: EngineSource | None = None,
        admin_required: Decorator | None = None,
        track_warnings: bool = False,
        current_user_id: UserId | None = None,
    ) -> None:
        """Keep the options (see :meth:`init_app`); with ``app``, initialise it at once.

        Raises:
            TypeError: for an unknown option, or one of the wrong type.
        """
        _check(engine, admin_required, current_user_id)
        self._engine = engine
        self._admin_required = admin_required
        self._track_warnings = track_warnings
        self._current_user_id = current_user_id
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: flask.Flask,
        *,
        engine: EngineSource | None = None,
        admin_required: Decorator | None = None,
        track_warnings: bool | None = None,
        current_user_id: UserId | None = None,
    ) -> None:
        """Set telemetry up for ``app``.

        A second application in the process shares the pipeline of the first if both have the same database.
        Otherwise its telemetry is off, and an error is logged.

        Args:
            app: the application.
            engine: the application's database: a SQLAlchemy engine, session or URL, or a callable that
                returns one inside the application context. Default: TELEMETRY_DATABASE_URL, else that of
                Flask-SQLAlchemy.
            admin_required: the application's own decorator for views that only admins may see. Without it
                there are no such views.
            track_warnings: whether the application's pages may report warnings that they show to users, at
                ``/api/track-warning``. Default: no.
            current_user_id: returns the id (in `users`) of the user who is signed in, or None. Default:
                that of Flask-Login.

        Raises:
            TypeError: for an option of the wrong type. Any other problem is logged.
        """
        if not isinstance(app, flask.Flask):
            raise TypeError(f"Telemetry takes a flask.Flask, not a {type(app).__qualname__}")
        _check(engine, admin_required, current_user_id)
        engine = self._engine if engine is None else engine
        with guarded("setup"):
            state = host_app.state_of(app)
            if state is not None:
                state.start_again(app, engine)
                return
            if app._got_first_request:
                _log.error(
                    "telemetry is off for %s: it has answered a request; name Telemetry(app) where the"
                    " application is made",
                    app.name,
                )
                return
            state = app.extensions[EXTENSION] = HostState(engine)
            host_app.watch(app)
            _add_views(
                app,
                state,
                admin_required or self._admin_required,
                self._track_warnings if track_warnings is None else track_warnings,
                current_user_id or self._current_user_id,
            )
            state.start(app)


class HostState:
    """State of telemetry for one application."""

    def __init__(self, engine: EngineSource | None) -> None:
        """Start without telemetry set up."""
        self.engine = engine
        self.settings: Settings | None = None
        """None while telemetry is off for the application, or not set up yet."""
        self._owner: object = None
        self._waits = True
        self._is_starting = False
        self._is_noted = False
        """Whether set-up waits for the first use."""
        self._lock = threading.RLock()

    @property
    def owner(self) -> object:
        """The recorder of this application's work; None if not known yet."""
        current = setup.pipeline()
        if self.settings is not None and current is not None and current.recorder is not self._owner:
            if current.settings.database() == self.settings.database():
                self._owner = current.recorder
        return self._owner

    @property
    def is_off(self) -> bool:
        """Whether telemetry is off for good for this application."""
        return self._owner is NOBODY

    def start(self, app: flask.Flask, *, is_last: bool = False) -> None:
        """Set telemetry up for ``app``, unless it is set up or the database is not available yet.

        Args:
            app: the application of this state.
            is_last: whether this is the last attempt.
        """
        if not self._waits or setup.is_for_operator():
            return
        with self._lock:
            if self._is_starting:  # re-entered from the application's own code
                return
            self._is_starting = True
            try:
                if self._waits:
                    self._try(app, is_last)
            finally:
                self._is_starting = False

    def start_again(self, app: flask.Flask, engine: EngineSource | None) -> None:
        """Set telemetry up again, after :func:`telemetry.shutdown`."""
        if self._waits or (self.settings is not None and setup.pipeline() is not None):
            _log.warning("telemetry: Telemetry(app) was called again for %s; nothing is changed", app.name)
            return
        self.engine, self.settings, self._owner, self._waits = engine, None, None, True
        self.start(app)

    def _try(self, app: flask.Flask, is_last: bool) -> None:
        try:
            settings, database = _read(app, self.engine)
        except SettingsError as error:
            self._switch_off(f"telemetry is off for {app.name}: {error}")
            return
        except NoEngine as error:
            if is_last or isinstance(error.__cause__, ImportError):
                self._switch_off(f"telemetry is off for {app.name}: {error}")
            else:
                self._wait(app)
            return
        if settings.enabled and not settings.database_url:
            if not is_last:
                self._wait(app)
                return
            _log.warning(
                "telemetry has no database for %s, and keeps no rollups: give engine=, set"
                " TELEMETRY_DATABASE_URL, or call db.init_app(app) of Flask-SQLAlchemy",
                app.name,
            )
        self._waits = False
        if _is_in_passing():
            settings = replace(settings, metrics_port=None)
        pipeline = setup.setup_telemetry(settings, engines=database.engines, name=app.name)
        if pipeline is None:
            self._switch_off()
            return
        self.settings, self._owner = settings, pipeline.recorder
        instrument(app)
        _listen_to_commits()
        leave_to_child()

    def _wait(self, app: flask.Flask) -> None:
        """Postpone set-up to the first request, application context or run."""
        _log.debug("telemetry of %s is set up with its first use: it has no database yet", app.name)
        if self._is_noted:
            return
        self._is_noted = True
        instrument(app)  # not possible once a request has been answered
        reference = weakref.ref(app)

        def first_use() -> None:
            if setup.is_for_operator():
                return
            waiting.remove(first_use)
            self._is_noted = False
            if (found := reference()) is not None:
                self.start(found, is_last=True)
                if flask.has_app_context() and flask.current_app._get_current_object() is found:  # type: ignore[attr-defined]
                    host_app.enter(self.owner)

        waiting.append(first_use)

    def _switch_off(self, why: str = "") -> None:
        if why:
            _log.error("%s", why)
        self._waits, self._owner = False, NOBODY


def _is_in_passing() -> bool:
    """Return whether this process is a short command, which leaves the metrics port to servers."""
    context = click.get_current_context(silent=True)
    names = []
    while context is not None:
        names.append(context.info_name)
        context = context.parent
    return any(name in ("db", "routes", "shell") for name in names[:-1])


def _check(engine: object, admin_required: object, current_user_id: object) -> None:
    host_database.check(engine)
    for name, given in (("admin_required", admin_required), ("current_user_id", current_user_id)):
        if given is not None and not callable(given):
            raise TypeError(f"{name}= takes a callable, not a {type(given).__qualname__}")


def _add_views(
    app: flask.Flask,
    state: HostState,
    admin_required: Decorator | None,
    track_warnings: bool,
    current_user_id: UserId | None,
) -> None:
    """Add the requested views, even if telemetry is off: pages link to them."""
    if admin_required is not None:
        from .export_view import blueprint

        app.register_blueprint(blueprint(lambda: state.settings, admin_required))
    if track_warnings:
        from . import warning_views

        app.register_blueprint(warning_views.blueprint(lambda: state.settings, current_user_id))


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
        return _read(app, state.engine if state is not None else None)[0]
    except NoEngine as error:
        raise SettingsError(str(error)) from error


def _read(app: flask.Flask, engine: Any) -> tuple[Settings, Database]:
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


def instrument(app: flask.Flask) -> None:
    """Instrument ``app``, if the instrumentation is installed."""
    try:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
    except ImportError as error:
        not_seen("flask", error)
        return
    host_app.instrument(app, FlaskInstrumentor())


_listening = False


def _listen_to_commits() -> None:
    """Notify the writer when the application commits: a row that it waits for may exist now."""
    global _listening
    if _listening:
        return
    try:
        from sqlalchemy import event
        from sqlalchemy.orm import Session
    except ImportError:  # an application without a database
        return
    event.listen(Session, "after_commit", _committed)
    _listening = True


def _committed(_: Any) -> None:
    with guarded("writer"):
        current = setup.pipeline()
        if current is not None:
            current.host_committed()
