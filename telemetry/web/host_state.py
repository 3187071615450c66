"""The state of telemetry for a Flask application: set up, waiting for the database, or off."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import flask

from telemetry._internal.context import NOBODY, waiting
from telemetry._internal.guard import guarded
from telemetry.settings import Settings, SettingsError
from telemetry.setup import process as setup
from telemetry.setup.instrumentation import log_not_instrumented

from . import host_app
from .host_database import NoEngine
from .host_settings import read
from .reloader import leave_to_child

if TYPE_CHECKING:
    from .host_database import EngineSource

_log = logging.getLogger("telemetry")


class HostState:
    """State of telemetry for one application."""

    def __init__(
        self, engine: EngineSource | None, host_values: Mapping[str, Callable[[], Any]] | None = None
    ) -> None:
        """Start without telemetry set up.

        Args:
            engine: the application's database.
            host_values: callables that return the values of gauges, by option of ``setup_telemetry``.
        """
        self.engine = engine
        self._host_values = host_values or {}
        self.settings: Settings | None = None
        """None while telemetry is off for the application, or not set up yet."""
        self._owner: object = None
        self._waits = True
        self._is_starting = False
        self._is_noted = False
        """Whether set-up is scheduled for the first use."""
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
            settings, database = read(app, self.engine)
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
        host_values = {name: _inside(app, call) for name, call in self._host_values.items()}
        pipeline = setup.setup_telemetry(
            settings,
            engines=database.engines,
            name=app.name,
            jobs_waiting=host_values.get("jobs_waiting"),
            worker_heartbeat=host_values.get("worker_heartbeat"),
        )
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
            if (known := reference()) is not None:
                self.start(known, is_last=True)
                if flask.has_app_context() and flask.current_app._get_current_object() is known:  # type: ignore[attr-defined]
                    host_app.enter(self.owner)

        waiting.append(first_use)

    def _switch_off(self, why: str = "") -> None:
        if why:
            _log.error("%s", why)
        self._waits, self._owner = False, NOBODY


def _inside(app: flask.Flask, call: Callable[[], Any]) -> Callable[[], Any]:
    """Return ``call``, to be called in a context of ``app``, which is not kept alive for it."""
    reference = weakref.ref(app)

    def called() -> Any:
        application = reference()
        if application is None:
            return None
        with application.app_context():
            return call()

    return called


def _is_in_passing() -> bool:
    """Return whether this process is a short command, which leaves the metrics port to servers."""
    context = click.get_current_context(silent=True)
    names = []
    while context is not None:
        names.append(context.info_name)
        context = context.parent
    return any(name in ("db", "routes", "shell") for name in names[:-1])


def instrument(app: flask.Flask) -> None:
    """Instrument ``app``, if the instrumentation is installed."""
    try:
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
    except ImportError as error:
        log_not_instrumented("flask", error)
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
