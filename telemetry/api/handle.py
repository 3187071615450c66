"""The handle of an open run, and how a run ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from telemetry._internal.context import Run, Warned, recorder, run_in
from telemetry._internal.guard import guarded
from telemetry.conventions import CANCELLED, COMPLETED, FAILED, INTERRUPTED, RUNNING, Attribute

from . import arguments
from .errors import Error, count_error, failure_of, status_of
from .spans import mark_failed

propagator = TraceContextTextMapPropagator()


class RunHandle:
    """A run that is open: a context manager, or ended by :meth:`finish`, :meth:`fail` or :meth:`cancel`.

    The first of these calls ends the run; later ones do nothing. Leaving the ``with`` block ends it as
    completed, or by the exception that leaves it: ``Exception`` as failed, ``SystemExit`` and
    ``KeyboardInterrupt`` as interrupted, a cancelled asyncio task as cancelled, and so a generator that is
    closed before its end.
    """

    def __init__(self, run: Run | None) -> None:
        """Wrap ``run`` (None: nobody records); use :func:`start_run` instead."""
        self._run = run

    @property
    def run_id(self) -> str | None:
        """Id of the run, 32 hexadecimal digits; None when nobody records."""
        return self._run.run_id if self._run else None

    @property
    def warnings(self) -> tuple[Warned, ...]:
        """What the run's documents were worth a warning of, once it has ended: see the TELEMETRY_… limits.

        They are recorded; show them to the user. Each has ``type``, ``document_count``, ``characters`` (of
        the longest or the shortest document) and ``limit``.
        """
        return self._run.warnings if self._run else ()

    def link(self, analysis_id: int) -> None:
        """Say which analysis the run belongs to, any time, usually after that row is committed."""
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
        """Say how large the run is, once that is known.

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
        """End the run. It stands as completed unless its documents or calls know better."""
        self._end(COMPLETED)

    def fail(self, error: Error | None = None) -> None:
        """End the run as failed.

        Of ``error`` only the type is kept. A single word is taken as the type; a text counts as ``error``.
        """
        with guarded("api"):
            if self._run is not None and error is not None:
                error = arguments.error("error", error)
        self._end(FAILED, error)

    def cancel(self) -> None:
        """End the run as cancelled."""
        self._end(CANCELLED)

    def detach(self) -> None:
        """End this process's part but leave the run open.

        Another process finishes it (see :meth:`carrier`).
        """
        with guarded("api"):
            if self._run is not None:
                self._run.finishes = False
        self._end(COMPLETED)

    def carrier(self) -> dict[str, str]:
        """Return what another process needs to join this run by :func:`resume`: a small dict of strings."""
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
        """End the run by the way the block was left; never swallows."""
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
    """Let the recorder keep the final state, then end the run's own span, then step out of its context.

    Where a signal's handler raises in the middle, what is left is done all the same.
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
            _step_out(run)


def _step_out(run: Run) -> None:
    try:
        run.span.end()
    finally:
        run.has_ended, run.parent = True, _without_ended(run.parent)
        if run_in() is run:
            context.attach(run.parent)


def _without_ended(ctx: Context) -> Context:
    """Return ``ctx``, or what was around its run if that has ended: handles may overlap."""
    run = run_in(ctx)
    while run is not None and run.has_ended:
        ctx = run.parent
        run = run_in(ctx)
    return ctx
