"""Find the database that telemetry shares with a Flask application, and its engines."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import flask

from telemetry._internal.process.standard_output import host_output

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session, scoped_session

    _Given: TypeAlias = (
        Engine | Connection | AsyncEngine | Session | AsyncSession | scoped_session[Session] | URL | str
    )
    EngineSource: TypeAlias = _Given | Callable[[], _Given]
    """What an application may pass as its database."""


class NoEngine(Exception):
    """The application has no usable engine, or none yet; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Database:
    """The application's database."""

    url: str = ""
    """Empty if there is none."""
    engines: list[Any] = field(default_factory=list)
    """SQLAlchemy engines of the application; that of the database comes first."""


def check(given: object) -> None:
    """Check the type of ``given``.

    Raises:
        TypeError: if it cannot be a database.
    """
    if given is not None and not callable(given) and not _has_engine(given) and not _is_url(given):
        raise TypeError(
            f"engine= takes a SQLAlchemy engine, session or URL, or a callable, not {_kind(given)}"
        )


def of(app: flask.Flask, given: Any = None) -> Database:
    """Return the database of ``given``, else that of Flask-SQLAlchemy, else an empty one.

    Raises:
        NoEngine: if it is not available, or not yet.
    """
    with host_output(), _inside(app):
        if given is not None:
            return _given(given)
        if "sqlalchemy" not in app.extensions:
            return Database()
        return _of_extension(app.extensions["sqlalchemy"])


def _given(given: Any) -> Database:
    try:
        source = given() if callable(given) and not _has_engine(given) else given
        engine = _engine_of(source)
    except Exception as error:
        raise NoEngine(
            f"engine= raised {_named(error)}; give one that can be had once the application is made"
            " (with Flask-SQLAlchemy, db.init_app(app) comes first)"
        ) from error
    if _is_url(source):
        url = source if isinstance(source, str) else source.render_as_string(hide_password=False)
        return Database(url)
    if engine is None:
        raise NoEngine(f"engine= returned {_kind(source)}, and not a SQLAlchemy engine, session or URL")
    return Database(_url(engine), [engine])


def _of_extension(extension: Any) -> Database:
    """Return the database of Flask-SQLAlchemy; its default engine comes first."""
    database = getattr(extension, "db", extension)  # before 3.0 it is a state object
    try:
        engine = database.engine
    except (KeyError, AttributeError) as error:
        raise NoEngine(
            "Flask-SQLAlchemy has no default database here; say which one telemetry shares, as in"
            " engine=lambda: db.engines['name']"
        ) from error
    except Exception as error:  # its driver is missing, or the URL is invalid
        raise NoEngine(f"Flask-SQLAlchemy gives no engine: {_named(error)}") from error
    try:
        others = list(database.engines.values())
    except Exception:
        others = []
    return Database(_url(engine), [engine, *(other for other in others if other is not engine)])


def _has_engine(given: object) -> bool:
    """Return whether the type of ``given`` has an engine, without asking for it."""
    names = {*dir(type(given)), *getattr(given, "__dict__", ())}
    return not names.isdisjoint({"engine", "get_bind", "sync_engine"})


def _engine_of(given: Any) -> Any:
    """Return the engine of an engine, connection or session, sync or async; None for anything else."""
    bind: Any = given.get_bind() if hasattr(type(given), "get_bind") else given
    for name in ("sync_engine", "engine"):
        bind = getattr(bind, name, bind)
    return bind if hasattr(bind, "dialect") and hasattr(bind, "url") else None


def _is_url(given: object) -> bool:
    return isinstance(given, str) or hasattr(given, "render_as_string")


def _url(engine: Any) -> str:
    """Return the URL of the engine's tables, including what its ``connect_args`` select."""
    url = engine.url
    given = {name: str(value) for name, value in _connect_args(engine).items() if name in _LEADING}
    missing = {name: value for name, value in given.items() if name not in url.query}
    return str(url.update_query_dict(missing).render_as_string(hide_password=False))


def _connect_args(engine: Any) -> Mapping[str, Any]:
    """Return the driver's arguments; empty if they are not accessible, as with the host's own ``creator``.

    SQLAlchemy keeps them only in the function that connects.
    """
    if engine.dialect.name != "postgresql":
        return {}
    try:
        arguments = inspect.getclosurevars(engine.pool._creator).nonlocals.get("cparams")
    except (AttributeError, TypeError):
        return {}
    return arguments if isinstance(arguments, Mapping) else {}


_LEADING: Final = ("options", "service")
"""Arguments of libpq that may select another schema or database than the URL."""


def _kind(given: object) -> str:
    return f"a {type(given).__qualname__}"


def _named(error: BaseException) -> str:
    """Describe an error, with its message only for import errors: others may contain a password."""
    return f"{type(error).__name__} ({error})" if isinstance(error, ImportError) else type(error).__name__


@contextmanager
def _inside(app: flask.Flask) -> Iterator[None]:
    """Enter the context of ``app`` unless it is current: ending a second one would run teardown functions."""
    if flask.has_app_context() and flask.current_app._get_current_object() is app:  # type: ignore[attr-defined]
        yield
        return
    with app.app_context():
        yield
