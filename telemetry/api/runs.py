"""What application code calls: runs, stages, documents, and a few words on what went wrong.

Usage::

    import telemetry

    with telemetry.run("analysis", user_id=7, candidates=len(files)) as run:
        with telemetry.stage("ranking"):
            for file in files:
                with telemetry.document(file.name, size=len(file.data), type="pdf") as doc:
                    doc.score(rank(file), out_of=100)
        run.link(analysis_id=save())

Everything needs only ``opentelemetry-api``. Without the SDK, before set-up and (for all but runs) outside a
run, every call here is a no-op, and no call ever raises an error of its own. Exceptions of the application
pass through untouched; only their type is kept, never their text.
"""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from datetime import datetime
from decimal import ROUND_HALF_EVEN
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from telemetry._internal.context import (
    DOCUMENT_KEY,
    RUN_KEY,
    STAGE_KEY,
    Document,
    OpenStage,
    Run,
    Warned,
    document_in,
    is_recording,
    recorder,
    run_in,
    stage_in,
)
from telemetry._internal.guard import guarded
from telemetry.conventions import (
    CANCELLED,
    COMPLETED,
    CONTINUED,
    DUPLICATE,
    FAILED,
    INTERRUPTED,
    RUNNING,
    SCOPE,
    WARNING_ACTIONS,
    Attribute,
    Kind,
    Stage,
)

from . import arguments

_P = ParamSpec("_P")
_R = TypeVar("_R")

Subject = tuple[str, int | str] | str
"""What a run is about before it has an analysis: ``("draft", 12)``."""

_COUNTED = "_analysis_telemetry_run"
_TYPE = re.compile(r"[A-Za-z_][\w.]*")
"""What a type of error looks like."""
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_DOCUMENT_KEY = re.compile(r"[0-9a-f]{64}")
_propagator = TraceContextTextMapPropagator()
_CARRIED = (*_propagator.fields, "run_id", "kind", "document_key")
"""What a carrier of ours tells."""


def _tracer() -> trace.Tracer:
    return trace.get_tracer(SCOPE)


class RunHandle:
    """A run that is open: a context manager, or ended by :meth:`finish`, :meth:`fail` or :meth:`cancel`.

    The first of these calls ends the run; later ones do nothing. Leaving the ``with`` block ends it as
    completed, or by the exception that leaves it: ``Exception`` as failed, ``SystemExit`` and
    ``KeyboardInterrupt`` as interrupted, a cancelled asyncio task as cancelled.
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
            told = arguments.number_of("analysis_id", analysis_id)
            if self._run is not None and told is not None:
                self._run.analysis_id = told
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

    def fail(self, error: BaseException | str | None = None) -> None:
        """End the run as failed.

        Of ``error`` only the type is kept. A single word is taken as the type; a text counts as ``error``.
        """
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
                _propagator.inject(carrier, trace.set_span_in_context(self._run.span))
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
            self._end(_status_of(error), error)

    def _end(self, status: str, error: BaseException | str | None = None) -> None:
        with guarded("api"):
            run = self._run
            if run is None or run.is_ending:
                return
            run.is_ending = True
            try:
                _count_error(run, None, error)
            finally:
                _close(run, status, _type_of(error))


def _close(run: Run, status: str, error_type: str | None) -> None:
    """Let the recorder keep the final state, then end the run's own span, then step out of its context.

    Where a signal's handler raises in the middle, what is left is done all the same.
    """
    try:
        run.status = status if run.status == RUNNING else run.status
        run.span.set_attribute(Attribute.RUN_STATUS, run.status)
        if error_type or run.status in (FAILED, INTERRUPTED):
            _mark_failed(run.span, error_type)
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


def run(
    kind: Kind,
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
    """Open a run for a ``with`` block: ``with telemetry.run("analysis", user_id=7) as run:``.

    Args:
        kind: as in :func:`start_run`, like all that follow.
        user_id: the host's user who pays.
        subject: what an intake is about, such as ``("draft", 12)``.
        analysis_id: the analysis, if it exists already.
        enqueued_at: when the work was queued (naive times are UTC).
        candidates: documents handed in.
        criteria: criteria they are judged by.
        jd: the job description's (bytes, characters).
        jd_type: its type, such as ``pdf`` or ``application/pdf``.
    """
    return start_run(
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


def start_run(
    kind: Kind,
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
    """Open a run and make it current; nothing needs to be indented.

    Args:
        kind: ``analysis``; ``intake``, for work before an analysis exists; ``late``, for work on a known
            analysis afterwards.
        user_id: the host's user who pays.
        subject: what an intake is about, such as ``("draft", 12)``. An analysis that names the same subject
            is charged for it.
        analysis_id: the analysis, if it exists already; else see :meth:`RunHandle.link`.
        enqueued_at: when the work was queued (naive times are UTC).
        candidates: documents handed in.
        criteria: criteria they are judged by.
        jd: the job description's (bytes, characters).
        jd_type: its type, such as ``pdf`` or ``application/pdf``.
    """
    parent = context.get_current()
    with guarded("api"):
        known_kind = arguments.kind_of(kind)
        if is_recording() and known_kind is not None:
            opened = Run(
                known_kind,
                user_id=arguments.number_of("user_id", user_id),
                subject=arguments.subject("subject", subject),
                analysis_id=arguments.number_of("analysis_id", analysis_id),
                enqueued_at=arguments.moment("enqueued_at", enqueued_at),
                candidates=arguments.number_of("candidates", candidates),
                criteria=arguments.number_of("criteria", criteria),
                jd=arguments.pair("jd", jd),
                jd_type=arguments.file_type("jd_type", jd_type),
            )
            return _open(opened, parent)
    return RunHandle(None)


def resume(carrier: Mapping[str, str]) -> RunHandle:
    """Join a run of another process by what its :meth:`RunHandle.carrier` gave; close it like any other.

    An empty or foreign carrier gives a handle that does nothing.
    """
    parent = context.get_current()
    with guarded("api"):
        told = arguments.texts(carrier, _CARRIED)
        run_id, kind = told.get("run_id", ""), told.get("kind", "")
        if is_recording() and _RUN_ID.fullmatch(run_id) and kind in ("analysis", "intake", "late"):
            joined = Run(kind, run_id=run_id, is_root=False)  # type: ignore[arg-type]
            if _DOCUMENT_KEY.fullmatch(told.get("document_key", "")):
                joined.document_key = told["document_key"]
            return _open(joined, parent, _propagator.extract(told, parent))
    return RunHandle(None)


def current_run() -> RunHandle | None:
    """Return a handle of the run that this code belongs to; None outside a run, and after its end.

    For code that was not passed the handle: ``if (run := telemetry.current_run()): run.link(analysis.id)``.
    """
    with guarded("api"):
        current = run_in() if is_recording() else None
        if current is not None and not current.is_ending:
            return RunHandle(current)
    return None


def synthetic_run(*, candidates: int | None = None, criteria: int | None = None) -> RunHandle:
    """Open an analysis that tries telemetry out, for the doctor: no total, report or metric counts it."""
    parent = context.get_current()
    with guarded("api"):
        if is_recording():
            return _open(Run("analysis", synthetic=True, candidates=candidates, criteria=criteria), parent)
    return RunHandle(None)


def _open(opened: Run, parent: Context, under: Context | None = None) -> RunHandle:
    ctx = context.set_value(RUN_KEY, opened, parent if under is None else under)
    ctx = context.set_value(DOCUMENT_KEY, None, context.set_value(STAGE_KEY, None, ctx))
    opened.parent = parent
    try:
        recorder().open(opened)
        told: dict[str, str | bool] = {Attribute.RUN_ID: opened.run_id, Attribute.RUN_KIND: opened.kind}
        if opened.synthetic:
            told[Attribute.RUN_SYNTHETIC] = True
        opened.span = _tracer().start_span(opened.kind, context=ctx, attributes=told)
        recorder().update(opened)
        context.attach(trace.set_span_in_context(opened.span, ctx))
        return RunHandle(opened)
    except BaseException as error:  # nobody gets a handle to end it with
        _close(opened, _status_of(error), _type_of(error))
        raise


class _Block:
    """A block of code inside a run, with a span of its own; nothing outside a run."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._span: trace.Span = trace.INVALID_SPAN
        self._before: Context | None = None
        self._started = 0

    def _enter(self, name: str, attributes: dict[str, Any], **values: object) -> None:
        self._run = run_in() if is_recording() else None
        if self._run is None:
            return
        self._before = ctx = context.get_current()
        try:
            for key, value in values.items():
                ctx = context.set_value(_KEYS[key], value, ctx)
            self._span = _tracer().start_span(name, context=ctx, attributes=attributes)
            context.attach(trace.set_span_in_context(self._span, ctx))
            self._started = time.monotonic_ns()
        except BaseException as error:  # nobody leaves a block that was not entered
            self._leave(_type_of(error))
            raise

    def _leave(self, error_type: str | None) -> None:
        if self._run is None:
            return
        try:
            if error_type:
                _mark_failed(self._span, error_type)
            self._span.end()
        finally:
            if self._before is not None and trace.get_current_span() is self._span:
                context.attach(self._before)


class _Stage(_Block):
    """What :func:`stage` returns for a ``with`` block."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._stage: OpenStage | None = None

    def __enter__(self) -> Self:
        with guarded("api"):
            self._name = name = arguments.name("stage", self._name)[:64]
            self._enter(name, {Attribute.STAGE: name}, stage=name)
            if self._run is not None:
                self._start_clock(self._run, name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with guarded("api"):
            if self._run is not None:
                try:
                    _count_error(self._run, self._name, error)
                    self._stop_clock()
                finally:
                    self._leave(_type_of(error))
                self._tell_document(time.monotonic_ns() - self._started)

    def _start_clock(self, run: Run, name: str) -> None:
        self._stage = OpenStage(run, name, time.time_ns())
        try:
            recorder().stage_started(self._stage)
        except BaseException as error:  # nobody leaves a block that was not entered
            self._stop_clock()
            self._leave(_type_of(error))
            raise

    def _stop_clock(self) -> None:
        if self._stage is not None:
            recorder().stage_ended(self._stage, time.time_ns(), self._span)

    def _tell_document(self, elapsed_ns: int) -> None:
        """Extraction inside a document's block is that document's."""
        found = document_in()
        if found is not None and self._name == Stage.EXTRACTION:
            found.extraction_ns = (found.extraction_ns or 0) + elapsed_ns


@overload
def stage(name: str, /) -> _Stage: ...
@overload
def stage(name: str, func: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
def stage(name: str, func: Callable[..., Any] | None = None, /, *args: Any, **kwargs: Any) -> Any:
    """Name the work of a block, or of one call.

    ``with telemetry.stage("ranking"):`` works in synchronous and asynchronous code.
    ``telemetry.stage("ranking", func, *args)`` calls ``func`` and returns its result without re-indenting
    anything; a coroutine function gives an awaitable.
    """
    if func is None:
        return _Stage(name)
    if inspect.iscoroutinefunction(func):
        return _await_in_stage(name, func(*args, **kwargs))
    with _Stage(name):
        result = func(*args, **kwargs)
    return _await_in_stage(name, result) if inspect.isawaitable(result) else result


async def _await_in_stage(name: str, work: Awaitable[_R]) -> _R:
    with _Stage(name):
        return await work


class DocumentBlock(_Block):
    """What :func:`document` returns: say here what becomes known of the document."""

    def __init__(self, found: Document) -> None:
        """Wrap ``found``; use :func:`document` instead."""
        super().__init__()
        self._document = found
        self._has_left = False

    def describe(
        self,
        *,
        size: int | None = None,
        characters: int | None = None,
        type: str | None = None,
        chunks: int | None = None,
        row_id: int | None = None,
    ) -> None:
        """Say what became known: bytes, characters, type, chunks, the id of its ``candidate_files`` row."""
        with guarded("api"):
            found = self._document
            found.size = arguments.known("size", size, found.size)
            found.characters = arguments.known("characters", characters, found.characters)
            found.type = arguments.file_type("type", type) or found.type
            found.chunks = arguments.known("chunks", chunks, found.chunks)
            found.row_id = arguments.known("row_id", row_id, found.row_id)
            self._visit_again()

    def score(self, score: float, *, out_of: float = 1, fallback: bool = False) -> None:
        """Give the candidate's score, inside the block or after it.

        A score is a fallback, and in no score band, if this visit was marked, by ``fallback`` here or by
        :func:`record_fallback`, or if another visit of the document called :func:`record_fallback` and gave
        no score.
        A score from a visit without a mark replaces one from a visit with a mark.
        """
        with guarded("api"):
            share = arguments.share_of("score", score, out_of)
            if share is None:
                return
            self._document.score = int((share * 10_000).to_integral_value(ROUND_HALF_EVEN))
            self._document.fallback = bool(fallback) or self._document.fallback
            self._visit_again()

    def fail(self, error: BaseException | str, *, again: bool = False) -> None:
        """Say that the document failed, where the application swallows the exception.

        ``error``: the exception, or a word for its type; never its text.

        ``again``: an earlier run counted this error already, as an intake does whose document cannot be read.
        """
        with guarded("api"):
            self._document.error_type = _type_of(error)
            self._document.outcome = FAILED
            if self._run is not None and not again:
                _count_error(self._run, stage_in(), error)
            self._visit_again()

    def duplicate(self) -> None:
        """Say that the document is a copy of another."""
        with guarded("api"):
            self._document.outcome = DUPLICATE
            self._visit_again()

    def __enter__(self) -> Self:
        """Start to measure."""
        with guarded("api"):
            self._enter("document", {}, document=self._document)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Keep what was found; an exception that leaves the block is the document's failure, and passes."""
        with guarded("api"):
            if self._run is None:
                return
            try:
                if error is not None:
                    self.fail(error)
                self._divide_time(time.monotonic_ns() - self._started)
                self._describe_span()
                recorder().document(self._run, self._document)
            finally:
                self._has_left = True
                self._leave(_type_of(error))

    def _visit_again(self) -> None:
        """Keep what is told after the block as one more visit, which takes no time."""
        if self._has_left and self._run is not None:
            visit = copy(self._document)
            visit.extraction_ns = visit.analysis_ns = None
            recorder().document(self._run, visit)

    def _divide_time(self, elapsed_ns: int) -> None:
        """Tell extraction, around the block or inside it, from all other work."""
        found = self._document
        if stage_in() == Stage.EXTRACTION:
            found.extraction_ns = elapsed_ns
        else:
            found.analysis_ns = max(elapsed_ns - (found.extraction_ns or 0), 0)

    def _describe_span(self) -> None:
        found = self._document
        described = {
            Attribute.DOCUMENT_SIZE: found.size,
            Attribute.DOCUMENT_CHARACTERS: found.characters,
            Attribute.DOCUMENT_TYPE: found.type,
            Attribute.DOCUMENT_OUTCOME: found.outcome,
        }
        self._span.set_attributes({name: value for name, value in described.items() if value is not None})


def document(
    key: object,
    *,
    size: int | None = None,
    characters: int | None = None,
    type: str | None = None,
    chunks: int | None = None,
    row_id: int | None = None,
) -> DocumentBlock:
    """Follow one document through a block: its size, length, outcome, score and time.

    Args:
        key: what names the document within its run, usually its file name. Only a keyed hash of it is kept.
        size: bytes.
        characters: length of the extracted text.
        type: file type, such as ``pdf`` or ``application/pdf``; ``other`` unless it is a known one.
        chunks: pieces it is embedded in.
        row_id: id of its ``candidate_files`` row, if it has one already.

    The same key may be visited several times in a run (extraction, then ranking): the visits are joined.
    """
    found = Document("")
    with guarded("api"):
        found.key = arguments.key("key", key)
    block = DocumentBlock(found)
    block.describe(size=size, characters=characters, type=type, chunks=chunks, row_id=row_id)
    return block


_KEYS = {"stage": STAGE_KEY, "document": DOCUMENT_KEY}


def record_fallback(error: BaseException | str) -> None:
    """Say that an error was swallowed and the run goes on with less.

    The error is counted by stage and type. Inside a document's block it marks that visit: a score that the
    visit gives is a fallback, or, if it gives none, every score of the document is. The mark stays, so in a
    retry loop call it once, after the last attempt.
    """
    with guarded("api"):
        run = run_in()
        if run is None:
            return
        _count_error(run, stage_in(), error)
        found = document_in()
        if found is not None:
            found.fallback = True
            found.error_type = _type_of(error)


def count(name: str, amount: int = 1) -> None:
    """Add to a counter the host declared in TELEMETRY_COUNTERS, such as its own retries or fallbacks.

    The sums are in the table ``telemetry_counters`` and in the metric ``analysis.events``.
    """
    with guarded("api"):
        run, told = run_in(), arguments.number_of("amount", amount)
        if run is not None and told is not None:
            recorder().count(run, name, told)


def fail_current_run(error: BaseException | str) -> None:
    """Say that the current run failed, from code that holds no handle; the run ends where it ends."""
    with guarded("api"):
        run = run_in()
        if run is not None:
            _count_error(run, stage_in(), error)
            run.status = FAILED
            recorder().update(run)


def warn(
    warning_type: str,
    *,
    user_id: int | None = None,
    subject: Subject | None = None,
    analysis_id: int | None = None,
    action: str | None = None,
    document_count: int | None = None,
    document_size: int | None = None,
    limit: int | None = None,
) -> None:
    """Say that a user was shown a warning; an analysis need not exist yet, nor a run be open.

    Args:
        warning_type: one of TELEMETRY_WARNING_TYPES; anything else is recorded as ``other``.
        user_id: who was shown it; default: whose run is current.
        subject: what it was about, such as ``("draft", 12)``; default: that of the current run. The warning
            belongs to the analysis whose run has the same subject, once there is one.
        analysis_id: the analysis, if it exists already.
        action: what the user did, if that is known already; else see :func:`answer_warnings`.
        document_count: how many documents it is about.
        document_size: their bytes.
        limit: what they went beyond.
    """
    with guarded("api"):
        if not is_recording():
            return
        run = run_in()
        recorder().warn(
            Warned(
                type=arguments.name("warning_type", warning_type),
                action=arguments.choice("action", action, WARNING_ACTIONS, CONTINUED),
                user_id=arguments.known("user_id", user_id, run.user_id if run else None),
                subject=arguments.subject("subject", subject) or (run.subject if run else None),
                analysis_id=arguments.known("analysis_id", analysis_id, run.analysis_id if run else None),
                document_count=arguments.number_of("document_count", document_count),
                document_size=arguments.number_of("document_size", document_size),
                limit=arguments.number_of("limit", limit),
            )
        )


def answer_warnings(
    subject: Subject, action: str, *, warning_type: str | None = None, user_id: int | None = None
) -> None:
    """Say what a user did after the warnings about a subject that nobody has answered yet.

    Args:
        subject: as in :func:`warn`.
        action: ``continued``, ``abandoned``, ``reduced_batch`` or ``override``; anything else counts as
            ``continued``.
        warning_type: which of them; default: all.
        user_id: the user, where a subject is not one user's alone; default: whoever was shown them.
    """
    with guarded("api"):
        about = arguments.subject("subject", subject)
        if about is None:
            return
        if not is_recording():
            return
        recorder().warn(
            Warned(
                type=None if warning_type is None else arguments.name("warning_type", warning_type),
                is_answer=True,
                action=arguments.choice("action", action, WARNING_ACTIONS, CONTINUED) or CONTINUED,
                user_id=arguments.number_of("user_id", user_id),
                subject=about,
            )
        )


def _count_error(run: Run, stage_name: str | None, error: BaseException | str | None) -> None:
    """Count ``error`` once, however many blocks of the run it passes through.

    Cancellation and exit are no errors.
    """
    if error is None or (isinstance(error, BaseException) and not isinstance(error, Exception)):
        return
    if isinstance(error, Exception):
        if getattr(error, _COUNTED, None) == run.run_id:
            return
        _remember_counted(error, run.run_id)
    recorder().error(run, stage_name, _type_of(error) or "error")


def _remember_counted(error: Exception, run_id: str) -> None:
    try:
        setattr(error, _COUNTED, run_id)
    except (AttributeError, TypeError):
        return


def _mark_failed(span: trace.Span, error_type: str | None) -> None:
    span.set_status(Status(StatusCode.ERROR))
    if error_type:
        span.set_attribute(Attribute.ERROR_TYPE, error_type)


def _type_of(error: BaseException | str | None) -> str | None:
    """Return what ``error.type`` wants: the qualified class name of an exception, or the word for it."""
    if error is None:
        return None
    if isinstance(error, str):
        # A text may say what nobody outside should read.
        return error[:255] if _TYPE.fullmatch(error) else "error"
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"[:255]


def _status_of(error: BaseException) -> str:
    import asyncio

    if isinstance(error, asyncio.CancelledError):
        return CANCELLED
    return FAILED if isinstance(error, Exception) else INTERRUPTED
