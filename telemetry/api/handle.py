"""The handle of an open run, and how a run ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from telemetry._internal.context import recorder, run_in
from telemetry._internal.guard import guarded
from telemetry._internal.run import Run, Warned
from telemetry.conventions import CANCELLED, COMPLETED, FAILED, INTERRUPTED, RUNNING, Attribute

from . import arguments
from .errors import Error, count_error, failure_of, status_of
from .spans import mark_failed

propagator = TraceContextTextMapPropagator()


class RunHandle:
    """A run that is open: a context manager, or ended by :meth:`finish`, :meth:`fail` or :meth:`cancel`.

    The first of these calls ends the run; later ones do nothing. The end of the ``with`` block ends it as
    completed, or as the exception that leaves the block requires: ``Exception`` as failed, ``SystemExit`` and
    ``KeyboardInterrupt`` as interrupted. A cancelled asyncio task, and a generator that is closed before its
    end, end it as cancelled.
    """

    def __init__(self, run: Run | None) -> None:
        """Wrap ``run`` (None: nothing is recorded); use :func:`start_run` instead."""
        self._run = run

    @property
    def run_id(self) -> str | None:
        """Id of the run, 32 hexadecimal digits; None if nothing is recorded."""
        return self._run.run_id if self._run else None

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """Warnings that the limits in the settings gave rise to; available once the run has ended.

        They are recorded already; show them to the user. Each has ``type``, ``document_count``,
        ``characters`` (of the longest or the shortest document) and ``limit``.
        """
        return self._run.warnings if self._run else ()

    def link(self, analysis_id: int) -> None:
        """Link the run to its analysis, at any time, usually once the row of the analysis is committed."""
        with guarded("api"):
            known = None if self._run is None else arguments.required("analysis_id", analysis_id)
            if self._run is not None and known is not None:
                self._run.analysis_id = known
                recorder().update(self._run)

    def describe(
        self,
        *,
        candidates: int | None = None,
        criteria: int | None = None,
        jd: tuple[int | None, int | None] | None = None,
        jd_type: str | None = None,
    ) -> None:
        """Record how large the run is, once that is known.

        ``jd`` is the job description's (bytes, characters), ``jd_type`` its type, such as ``pdf``.
        """
        with guarded("api"):
            if self._run is not None:
                self._run.candidates = arguments.known("candidates", candidates, self._run.candidates)
                self._run.criteria = arguments.known("criteria", criteria, self._run.criteria)
                self._run.jd = arguments.pair("jd", jd) or self._run.jd
                self._run.jd_type = arguments.file_type("jd_type", jd_type) or self._run.jd_type
                recorder().update(self._run)

    def finish(self) -> None:
        """End the run as completed, unless its documents or calls contradict that."""
        self._end(COMPLETED)

    def fail(self, error: Error | None = None) -> None:
        """End the run as failed.

        Only the type of ``error`` is recorded. A single word is taken as the type; a longer text counts as
        ``error``.
        """
        with guarded("api"):
            if self._run is not None and error is not None:
                error = arguments.error("error", error)
        self._end(FAILED, error)

    def cancel(self) -> None:
        """End the run as cancelled."""
        self._end(CANCELLED)

    def detach(self) -> None:
        """End the fragment of this process and leave the run open.

        Another process finishes it (see :meth:`carrier`).
        """
        with guarded("api"):
            if self._run is not None:
                self._run.finishes = False
        self._end(COMPLETED)

    def carrier(self) -> dict[str, str]:
        """Return a small dict of strings with which another process joins this run: see :func:`resume`."""
        carrier: dict[str, str] = {}
        with guarded("api"):
            if self._run is not None:
                propagator.inject(carrier, trace.set_span_in_context(self._run.span))
                carrier.update(run_id=self._run.run_id, kind=self._run.kind)
                if self._run.document_key:
                    carrier["document_key"] = self._run.document_key
        return carrier

    def __enter__(self) -> Self:
        """Return the handle itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run according to how the block was left; never swallow the exception."""
        if error is None:
            self.finish()
        else:
            self._end(status_of(error), error)

    def _end(self, status: str, error: Error | None = None) -> None:
        with guarded("api"):
            run = self._run
            if run is None or run.is_ending:
                return
            run.is_ending = True
            try:
                count_error(run, None, error)
            finally:
                close(run, status, failure_of(error))


def close(run: Run, status: str, error_type: str | None) -> None:
    """Let the recorder save the final state, end the run's own span, and leave its context.

    If a signal handler raises in between, the remaining steps are done all the same.
    """
    try:
        run.status = status if run.status == RUNNING else run.status
        run.span.set_attribute(Attribute.RUN_STATUS, run.status)
        if error_type or run.status in (FAILED, INTERRUPTED):
            mark_failed(run.span, error_type)
    finally:
        try:
            recorder().close(run)
        finally:
            _leave(run)


def _leave(run: Run) -> None:
    try:
        run.span.end()
    finally:
        run.has_ended, run.parent = True, _without_ended(run.parent)
        if run_in() is run:
            context.attach(run.parent)


def _without_ended(ctx: Context) -> Context:
    """Return ``ctx``, or the context around its run if that has ended: handles may overlap."""
    run = run_in(ctx)
    while run is not None and run.has_ended:
        ctx = run.parent
        run = run_in(ctx)
    return ctx
