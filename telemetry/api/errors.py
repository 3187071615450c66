"""Errors of the application: each one is counted once, by stage and type, never by its text."""

from __future__ import annotations

import re

from telemetry._internal.context import document_in, recorder, run_in, stage_in
from telemetry._internal.guard import guarded
from telemetry._internal.run import Run
from telemetry.conventions import CANCELLED, FAILED, INTERRUPTED

from . import arguments

Error = BaseException | type[BaseException] | str
"""An exception, its class, or one word for its type."""

_COUNTED = "_analysis_telemetry_run"
_TYPE = re.compile(r"[A-Za-z_][\w.]*")
"""Pattern of the name of an error type."""


def record_fallback(error: Error) -> None:
    """Record that an error was swallowed and the application continues with a fallback.

    The error is counted by stage and type. Inside a document's block it marks that visit: the score of the
    visit is a fallback, or, if the visit has none, every score of the document is. The mark stays, so in a
    retry loop call this once, after the last attempt.
    """
    with guarded("api"):
        run = run_in()
        if run is None:
            return
        error = arguments.error("error", error)
        count_error(run, stage_in(), error)
        document = document_in()
        if document is not None:
            document.fallback = True
            document.error_type = type_of(error)


def fail_current_run(error: Error) -> None:
    """Record that the current run failed, from code that has no handle; this does not end the run."""
    with guarded("api"):
        run = run_in()
        if run is not None:
            count_error(run, stage_in(), arguments.error("error", error))
            run.status = FAILED
            recorder().update(run)


def count_error(run: Run, stage_name: str | None, error: Error | None) -> None:
    """Count ``error`` once, however many blocks of the run it passes through.

    Cancellation and exit are not errors.
    """
    if error is None or (isinstance(error, BaseException) and not isinstance(error, Exception)):
        return
    if isinstance(error, Exception):
        if getattr(error, _COUNTED, None) == run.run_id:
            return
        _remember_counted(error, run.run_id)
    recorder().error(run, stage_name, type_of(error) or "error")


def _remember_counted(error: Exception, run_id: str) -> None:
    try:
        setattr(error, _COUNTED, run_id)
    except (AttributeError, TypeError):
        return


def type_of(error: Error | None) -> str | None:
    """Return the value of ``error.type``: the qualified class name of an exception, or the given word."""
    if error is None:
        return None
    if isinstance(error, str):
        # A longer text may contain personal data.
        return error[:255] if _TYPE.fullmatch(error) else "error"
    kind = error if isinstance(error, type) else type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"[:255]


def failure_of(error: Error | None) -> str | None:
    """Return the type of the error that ended a block; None for a generator that was closed early."""
    return None if isinstance(error, GeneratorExit) else type_of(error)


def status_of(error: BaseException) -> str:
    """Return the status of a run that ends with ``error``."""
    import asyncio

    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return CANCELLED
    return FAILED if isinstance(error, Exception) else INTERRUPTED
