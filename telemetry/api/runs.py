"""Open a run, join one from another process, find the current one, and add to its counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import ParamSpec, Self, TypeVar

from opentelemetry import context, trace
from opentelemetry.context import Context

from telemetry._internal.context import DOCUMENT_KEY, RUN_KEY, STAGE_KEY, is_recording, recorder, run_in
from telemetry._internal.guard import guarded
from telemetry._internal.run import Run
from telemetry.conventions import Attribute

from . import arguments, spans
from .arguments import Subject
from .errors import Error, status_of, type_of
from .functions import in_block
from .handle import RunHandle, close, propagator

_P = ParamSpec("_P")
_R = TypeVar("_R")

_RUN_ID = re.compile(r"[0-9a-f]{32}")
_DOCUMENT_KEY = re.compile(r"[0-9a-f]{64}")
_CARRIED = (*propagator.fields, "run_id", "kind", "document_key")
"""Keys of a carrier."""


class RunBlock(RunHandle):
    """The result of :func:`run`: opens a run for a ``with`` block, or for each call of a function.

    Inside the block it is the handle of the run.
    """

    def __init__(self, start: Callable[[], RunHandle]) -> None:
        """Prepare a run that ``start`` opens later; use :func:`run` instead."""
        super().__init__(None)
        self._start = start
        self._was_entered = False

    def __call__(self, func: Callable[_P, _R]) -> Callable[_P, _R]:
        """Make each call of ``func`` a run of its own: a plain, coroutine or generator function.

        The run of a generator begins with its first step, and is cancelled if it is closed before its end.
        """
        start = self._start
        return in_block(func, lambda: RunBlock(start))

    @property
    def is_recorded(self) -> bool:
        """Whether a run was opened and is recorded."""
        return self._run is not None

    def __enter__(self) -> Self:
        """Open the run and make it current."""
        self._was_entered = True
        self._run = self._start()._run
        return self

    def _end(self, status: str, error: Error | None = None) -> None:
        if not self._was_entered:
            with guarded("api"):
                if is_recording():
                    arguments.never_entered()
        super()._end(status, error)


def run(
    kind: str,
    *,
    user_id: int | None = None,
    subject: Subject | None = None,
    analysis_id: int | None = None,
    enqueued_at: datetime | None = None,
    candidates: int | None = None,
    criteria: int | None = None,
    jd: tuple[int | None, int | None] | None = None,
    jd_type: str | None = None,
) -> RunBlock:
    """Open a run for a ``with`` block: ``with telemetry.run("analysis", user_id=7) as run:``.

    As a decorator, ``@telemetry.run("analysis")``, it opens one for each call of a function, which may be a
    coroutine function or a generator function, too; :func:`current_run` gives its handle there.

    Args:
        kind: as in :func:`start_run`, like all other arguments.
        user_id: the user of the host to whom the cost is charged.
        subject: the subject of an intake, such as ``("draft", 12)``.
        analysis_id: the analysis, if it exists already.
        enqueued_at: when the work was queued (naive times are UTC).
        candidates: number of documents submitted.
        criteria: number of criteria that they are judged by.
        jd: the job description's (bytes, characters).
        jd_type: its type, such as ``pdf`` or ``application/pdf``.
    """
    return RunBlock(
        partial(
            start_run,
            kind,
            user_id=user_id,
            subject=subject,
            analysis_id=analysis_id,
            enqueued_at=enqueued_at,
            candidates=candidates,
            criteria=criteria,
            jd=jd,
            jd_type=jd_type,
        )
    )


def start_run(
    kind: str,
    *,
    user_id: int | None = None,
    subject: Subject | None = None,
    analysis_id: int | None = None,
    enqueued_at: datetime | None = None,
    candidates: int | None = None,
    criteria: int | None = None,
    jd: tuple[int | None, int | None] | None = None,
    jd_type: str | None = None,
) -> RunHandle:
    """Open a run and make it current, without a ``with`` block.

    Args:
        kind: ``analysis``; ``intake``, for work before an analysis exists; ``late``, for work on a known
            analysis afterwards; or one of TELEMETRY_RUN_KINDS. Anything else is recorded as ``other``, and
            logged; in tests it is a ``ValueError``.
        user_id: the user of the host to whom the cost is charged.
        subject: the subject of an intake, such as ``("draft", 12)``. Its cost belongs to the analysis with
            the same subject.
        analysis_id: the analysis, if it exists already; else see :meth:`RunHandle.link`.
        enqueued_at: when the work was queued (naive times are UTC).
        candidates: number of documents submitted.
        criteria: number of criteria that they are judged by.
        jd: the job description's (bytes, characters).
        jd_type: its type, such as ``pdf`` or ``application/pdf``.
    """
    parent = context.get_current()
    with guarded("api"):
        if is_recording():
            opened = Run(
                arguments.kind_of(kind, recorder().kinds),
                user_id=arguments.number_of("user_id", user_id),
                subject=arguments.subject("subject", subject),
                analysis_id=arguments.number_of("analysis_id", analysis_id),
                enqueued_at=arguments.moment("enqueued_at", enqueued_at),
                candidates=arguments.number_of("candidates", candidates),
                criteria=arguments.number_of("criteria", criteria),
                jd=arguments.pair("jd", jd),
                jd_type=arguments.file_type("jd_type", jd_type),
            )
            return open_run(opened, parent)
    return RunHandle(None)


def resume(carrier: Mapping[str, str]) -> RunHandle:
    """Join a run of another process by the result of its :meth:`RunHandle.carrier`; end it like any other.

    For an empty or foreign carrier, return a handle that does nothing.
    """
    parent = context.get_current()
    with guarded("api"):
        carried = arguments.texts(carrier, _CARRIED)
        run_id = carried.get("run_id", "")
        if not is_recording() or not _RUN_ID.fullmatch(run_id):
            return RunHandle(None)
        kind = arguments.kind_elsewhere(carried.get("kind", ""), recorder().kinds)
        if kind is not None:
            joined = Run(kind, run_id=run_id, is_root=False)
            if _DOCUMENT_KEY.fullmatch(carried.get("document_key", "")):
                joined.document_key = carried["document_key"]
            return open_run(joined, parent, propagator.extract(carried, parent))
    return RunHandle(None)


def current_run() -> RunHandle | None:
    """Return a handle of the current run; None outside a run, and after its end.

    For code that does not have the handle: ``if (run := telemetry.current_run()): run.link(analysis.id)``.
    """
    with guarded("api"):
        current = run_in() if is_recording() else None
        if current is not None and not current.is_ending:
            return RunHandle(current)
    return None


def count(name: str, amount: int = 1) -> None:
    """Add to a counter that the host declared in TELEMETRY_COUNTERS, such as its own retries or fallbacks.

    The sums are in the table ``telemetry_counters`` and in the metric ``analysis.events``.
    """
    with guarded("api"):
        run = run_in()
        number = None if run is None else arguments.required("amount", amount)
        if run is not None and number is not None:
            recorder().count(run, name, number)


def open_run(opened: Run, parent: Context, under: Context | None = None) -> RunHandle:
    """Open a run in the context ``parent``, which is current again after its end.

    Args:
        opened: the run.
        parent: the context of the caller.
        under: the context with the span of another process, if the run continues there.
    """
    ctx = context.set_value(RUN_KEY, opened, parent if under is None else under)
    ctx = context.set_value(DOCUMENT_KEY, None, context.set_value(STAGE_KEY, None, ctx))
    opened.parent = parent
    try:
        recorder().open(opened)
        attributes: dict[str, str | bool] = {Attribute.RUN_ID: opened.run_id, Attribute.RUN_KIND: opened.kind}
        if opened.synthetic:
            attributes[Attribute.RUN_SYNTHETIC] = True
        opened.span = spans.tracer().start_span(opened.kind, context=ctx, attributes=attributes)
        recorder().update(opened)
        context.attach(trace.set_span_in_context(opened.span, ctx))
        return RunHandle(opened)
    except BaseException as error:  # the caller gets no handle to end the run with
        close(opened, status_of(error), type_of(error))
        raise
