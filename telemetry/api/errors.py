"""Errors of the application: each is counted once, by its stage and its type, never by its text."""

from __future__ import annotations

import re

from telemetry._internal.context import Run, document_in, recorder, run_in, stage_in
from telemetry._internal.guard import guarded
from telemetry.conventions import CANCELLED, FAILED, INTERRUPTED

from . import arguments

Error = BaseException | type[BaseException] | str
"""An exception, its class, or the word for its type."""

_COUNTED = "_analysis_telemetry_run"
_TYPE = re.compile(r"[A-Za-z_][\w.]*")
"""What a type of error looks like."""


def record_fallback(error: Error) -> None:
    """Say that an error was swallowed and the run goes on with less.

    The error is counted by stage and type. Inside a document's block it marks that visit: a score that the
    visit gives is a fallback, or, if it gives none, every score of the document is. The mark stays, so in a
    retry loop call it once, after the last attempt.
    """
    with guarded("api"):
        run = run_in()
        if run is None:
            return
        error = arguments.error("error", error)
        count_error(run, stage_in(), error)
        found = document_in()
        if found is not None:
            found.fallback = True
            found.error_type = type_of(error)


def fail_current_run(error: Error) -> None:
    """Say that the current run failed, from code that holds no handle; the run ends where it ends."""
    with guarded("api"):
        run = run_in()
        if run is not None:
            count_error(run, stage_in(), arguments.error("error", error))
            run.status = FAILED
            recorder().update(run)


def count_error(run: Run, stage_name: str | None, error: Error | None) -> None:
    """Count ``error`` once, however many blocks of the run it passes through.

    Cancellation and exit are no errors.
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
    """Return what ``error.type`` wants: the qualified class name of an exception, or the word for it."""
    if error is None:
        return None
    if isinstance(error, str):
        # A text may say what nobody outside should read.
        return error[:255] if _TYPE.fullmatch(error) else "error"
    kind = error if isinstance(error, type) else type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"[:255]


def failure_of(error: Error | None) -> str | None:
    """Return the type of an error that ended a block; None for a generator that nobody reads to its end."""
    return None if isinstance(error, GeneratorExit) else type_of(error)


def status_of(error: BaseException) -> str:
    """Return the status of a run that ``error`` ends."""
    import asyncio

    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return CANCELLED
    return FAILED if isinstance(error, Exception) else INTERRUPTED
