"""Instrument OpenAI, SQLAlchemy and threads, if they are installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from telemetry._internal.process.signals import let_pass
from telemetry._internal.process.streams import keep_streams

from .compatibility import installed, problems

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from sqlalchemy.engine import Engine

INSTRUMENTORS: Final = (
    ("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor", "openai"),
    ("opentelemetry.instrumentation.sqlalchemy", "SQLAlchemyInstrumentor", "sqlalchemy"),
    ("opentelemetry.instrumentation.threading", "ThreadingInstrumentor", "threading"),
)
"""Module, class, and the library that it instruments."""

_log = logging.getLogger("telemetry")


def instrument(provider: TracerProvider | None = None, engines: Sequence[Engine] = ()) -> None:
    """Instrument OpenAI, SQLAlchemy and threads if installed; one that fails does not affect the others.

    Args:
        provider: provider of our own spans; default: the global one.
        engines: existing SQLAlchemy engines.
    """
    off = disabled()
    for module, name, library in INSTRUMENTORS:
        if library not in off:
            _instrument(module, name, library, {"engines": list(engines)} if library == "sqlalchemy" else {})
    _count_attempts(provider)
    keep_streams()


def disabled() -> list[str]:
    """Return the libraries in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."""
    named = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").replace(" ", "").split(",")
    return [library for _, _, library in INSTRUMENTORS] if "*" in named else named


def is_instrumented(module: str, name: str) -> bool:
    """Return whether one of :data:`INSTRUMENTORS` is active, no matter what activated it."""
    try:
        return bool(getattr(import_module(module), name)().is_instrumented_by_opentelemetry)
    except ImportError:
        return False


def log_not_instrumented(library: str, error: Exception) -> None:
    """Log why ``library`` is not instrumented; at level DEBUG if it is absent or its problem is known."""
    is_known = any(library in (known.library.name, known.library.needed_by) for known in problems())
    level = logging.WARNING if installed(library) and not is_known else logging.DEBUG
    _log.log(level, "telemetry cannot instrument %s %s: %s", library, installed(library), error)


def _count_attempts(provider: TracerProvider | None) -> None:
    try:
        from telemetry.openai import calls as openai
    except ImportError as error:
        log_not_instrumented("openai", error)
    else:
        openai.instrument(provider)


def _instrument(module: str, name: str, library: str, options: dict[str, Any]) -> None:
    try:
        instrumentor = getattr(import_module(module), name)()
    except ImportError as error:
        log_not_instrumented(library, error)
        return
    if instrumentor.is_instrumented_by_opentelemetry:
        return
    try:
        # The bounds that it declares lag behind: it would refuse SQLAlchemy 2.1, which works.
        instrumentor.instrument(skip_dep_check=True, **options)
    except Exception as error:
        let_pass(error)
        log_not_instrumented(library, error)
