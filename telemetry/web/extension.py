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

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import flask

from telemetry._internal.guard import guarded

from . import host_app, host_database
from .host_app import EXTENSION
from .host_state import HostState

if TYPE_CHECKING:
    from .host_database import EngineSource

__all__ = ["EXTENSION", "Telemetry"]

_log = logging.getLogger("telemetry")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
UserId = Callable[[], int | str | None]
JobsWaiting = Callable[[], int | None]
WorkerHeartbeat = Callable[[], datetime | None]


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
        jobs_waiting: JobsWaiting | None = None,
        worker_heartbeat: WorkerHeartbeat | None = None,
    ) -> None:
        """Keep the options (see :meth:`init_app`); with ``app``, initialise it at once.

        Raises:
            TypeError: for an unknown option, or one of the wrong type.
        """
        host_database.check(engine)
        self._host_values = _callables(jobs_waiting=jobs_waiting, worker_heartbeat=worker_heartbeat)
        _callables(admin_required=admin_required, current_user_id=current_user_id)
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
        jobs_waiting: JobsWaiting | None = None,
        worker_heartbeat: WorkerHeartbeat | None = None,
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
            jobs_waiting: returns the number of jobs that wait for a worker, or None if that is not known. A
                thread of telemetry calls it in an application context, in one process at a time.
            worker_heartbeat: returns when a worker last showed that it is alive (naive: in UTC), or None. It
                is called in the same way.

        Raises:
            TypeError: for an option of the wrong type. Any other problem is logged.
        """
        if not isinstance(app, flask.Flask):
            raise TypeError(f"Telemetry takes a flask.Flask, not a {type(app).__qualname__}")
        host_database.check(engine)
        _callables(admin_required=admin_required, current_user_id=current_user_id)
        given = _callables(jobs_waiting=jobs_waiting, worker_heartbeat=worker_heartbeat)
        host_values = self._host_values | given
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
            state = app.extensions[EXTENSION] = HostState(engine, host_values)
            host_app.watch(app)
            _add_views(
                app,
                state,
                admin_required or self._admin_required,
                self._track_warnings if track_warnings is None else track_warnings,
                current_user_id or self._current_user_id,
            )
            state.start(app)


def _callables(**options: Callable[..., Any] | None) -> dict[str, Callable[..., Any]]:
    """Return the options that are given.

    Raises:
        TypeError: if one is not callable.
    """
    given = {name: option for name, option in options.items() if option is not None}
    for name, option in given.items():
        if not callable(option):
            raise TypeError(f"{name}= takes a callable, not a {type(option).__qualname__}")
    return given


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
