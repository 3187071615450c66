"""The current run, stage and document in the OpenTelemetry Context, and the installed recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import context
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

from .recorder import NoRecorder, Recorder
from .run import Document, Run

RUN_KEY = context.create_key("analysis-telemetry-run")
STAGE_KEY = context.create_key("analysis-telemetry-stage")
DOCUMENT_KEY = context.create_key("analysis-telemetry-document")
OWNER_KEY = context.create_key("analysis-telemetry-owner")
"""The recorder of the application at work, or :data:`NOBODY` if its telemetry is off."""


NOBODY: Final = NoRecorder()
"""The owner of all work of an application whose telemetry is off."""

_recorder: Recorder = NoRecorder()
_takes_all = False
"""Whether the recorder also records the work of other owners, as in tests."""

waiting: list[Callable[[], None]] = []
"""Set-up functions that are called at the first use, because something they need was missing before."""


def install(recorder: Recorder | None, *, takes_all: bool = False) -> tuple[Recorder, bool]:
    """Let runs report to ``recorder`` (None: to none); return the arguments that undo it.

    Args:
        recorder: the recorder from now on.
        takes_all: whether it also records applications that have another recorder or none.
    """
    global _recorder, _takes_all
    before = _recorder, _takes_all
    _recorder, _takes_all = recorder or NoRecorder(), takes_all
    return before


def recorder() -> Recorder:
    """Return the installed recorder."""
    return _recorder


def takes_all() -> bool:
    """Return whether the recorder also records the work of other owners."""
    return _takes_all


def is_recording() -> bool:
    """Return whether the current work is recorded; if not, the API is a no-op."""
    if waiting:
        for set_up in tuple(waiting):
            set_up()
    return not isinstance(_recorder, NoRecorder) and not is_elsewhere()


def is_elsewhere(ctx: Context | None = None) -> bool:
    """Return whether ``ctx`` (default: the current context) belongs to another recorder or to none."""
    return recorder_in(context.get_current() if ctx is None else ctx) is None


def recorder_in(ctx: Context) -> Recorder | None:
    """Return the recorder if it records the work in ``ctx``, else None."""
    owner = ctx.get(OWNER_KEY)
    return _recorder if owner is None or owner is _recorder or _takes_all else None


def run_in(ctx: Context | None = None) -> Run | None:
    """Return the run that ``ctx`` (default: the current context) belongs to."""
    ctx = context.get_current() if ctx is None else ctx
    run = ctx.get(RUN_KEY)
    return run if isinstance(run, Run) and recorder_in(ctx) is not None else None


def stage_in(ctx: Context | None = None) -> str | None:
    """Return the stage that ``ctx`` (default: the current context) is in."""
    stage = context.get_value(STAGE_KEY, ctx)
    return stage if isinstance(stage, str) else None


def document_in(ctx: Context | None = None) -> Document | None:
    """Return the document that ``ctx`` (default: the current context) works on."""
    document = context.get_value(DOCUMENT_KEY, ctx)
    return document if isinstance(document, Document) else None


@contextmanager
def suppressed() -> Iterator[None]:
    """Keep our own database, HTTP and log work out of traces, and threads started here out of the run."""
    ctx = context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context())
    token = context.attach(context.set_value("suppress_instrumentation", True, ctx))
    try:
        yield
    finally:
        context.detach(token)
