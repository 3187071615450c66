"""Assign the work of an application's requests and contexts to a pipeline, or to none.

An application records if its telemetry is on and the pipeline of the process is the one it was set up with.
Work in requests and application contexts of any other application belongs to no pipeline; otherwise it would
be counted in the database of another application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import flask
from opentelemetry import context

from telemetry._internal.context import NOBODY, OWNER_KEY, is_elsewhere
from telemetry._internal.guard import guarded
from telemetry.setup import process as setup

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .host_state import HostState

EXTENSION: Final = "telemetry"
"""Key in ``app.extensions``."""


def state_of(app: flask.Flask) -> HostState | None:
    """Return the state of telemetry for ``app``, or None if it was never initialised."""
    return cast("HostState | None", app.extensions.get(EXTENSION))


def watch(app: flask.Flask) -> None:
    """Observe the contexts and requests of ``app`` from now on."""
    flask.appcontext_pushed.connect(_pushed, app)
    flask.appcontext_popped.connect(_popped, app)
    hooks, first = app.before_request_funcs.setdefault(None, []), getattr(app, "_before_request", None)
    # The instrumentation starts a request with its own Context.
    hooks.insert(hooks.index(first) + 1 if first in hooks else 0, _entered_again)
    app.wsgi_app = _Requests(app.wsgi_app, _started_by_request(app))  # type: ignore[method-assign]


def _started_by_request(app: flask.Flask) -> Callable[[], HostState | None]:
    """Return a function that gives the state, after a set-up that waited for the first request."""

    def started() -> HostState | None:
        with guarded("setup"):
            state = state_of(app)
            if state is not None:
                state.start(app, is_last=True)
            return state
        return None

    return started


def _pushed(app: flask.Flask, **_: object) -> None:
    with guarded("setup"):
        state = state_of(app)
        if state is not None:
            state.start(app)
            enter(state.owner)


def _popped(_: flask.Flask, **__: object) -> None:
    """Return to the outer application, without a token: Flask contexts may end in another thread."""
    with guarded("setup"):
        around = state_of(flask.current_app) if flask.has_app_context() else None
        enter(around.owner if around is not None else None)


def _entered_again() -> None:
    with guarded("setup"):
        state = state_of(flask.current_app)
        if state is not None:
            enter(state.owner)


def enter(owner: object) -> None:
    """Assign what follows to ``owner``; None: to the process."""
    if context.get_value(OWNER_KEY) is not owner:
        context.attach(context.set_value(OWNER_KEY, owner))


class _Requests:
    """WSGI middleware that assigns answers to the application while they are sent, too."""

    def __init__(self, inner: WSGIApplication, started: Callable[[], HostState | None]) -> None:
        self._inner = inner
        self._started = started

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        state = self._started()
        if state is not None and state.settings is not None:
            setup.serve()
        answer = self._inner(environ, _begin_span_late(environ, start_response))
        if state is None or not is_elsewhere(context.set_value(OWNER_KEY, state.owner)):
            return answer
        return _Elsewhere(answer)


class _Elsewhere:
    """An answer whose parts, made outside of Flask's contexts, belong to no pipeline."""

    def __init__(self, answer: Iterable[bytes]) -> None:
        self._answer = answer
        self._parts: Iterator[bytes] = iter(answer)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = context.attach(context.set_value(OWNER_KEY, NOBODY))
        try:
            return next(self._parts)
        finally:
            context.detach(token)

    def close(self) -> None:
        if hasattr(self._answer, "close"):
            self._answer.close()


def instrument(app: flask.Flask, instrumentor: Any) -> None:
    """Instrument ``app`` so that the span of a request includes the application's ``before_request`` hooks.

    Hooks registered earlier would otherwise run first, and one that refuses the request would leave it
    without a span, about which the instrumentation logs a warning.
    """
    if getattr(app, "_is_instrumented_by_opentelemetry", False):
        return
    instrumentor.instrument_app(app)
    with guarded("setup"):
        hooks = app.before_request_funcs[None]
        hooks.insert(0, hooks.pop())


def _begin_span_late(environ: WSGIEnvironment, start_response: StartResponse) -> StartResponse:
    """Begin the span of a request with its answer, if it was refused before any hook ran."""

    def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        if _HAS_STARTED in environ and _SPAN not in environ:
            with guarded("setup"):
                begin = getattr(flask.current_app, "_before_request", None)
                if begin is not None and flask.has_request_context():
                    begin()
        return start_response(status, headers, *more)

    return cast("StartResponse", started)


_HAS_STARTED: Final = "opentelemetry-flask.starttime_key"
_SPAN: Final = "opentelemetry-flask.span_key"
"""Key that the Flask instrumentation sets in the WSGI environment."""
