"""The current run in the OpenTelemetry Context, and the port through which the API reports to a recorder.

Application code uses :mod:`telemetry.api`, and :mod:`exporters` records. Neither imports the other: the API
reports to the :class:`Recorder` that ``attach`` installed; before that, to one that does nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import context, trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context

from telemetry.conventions import RUN_KINDS, RUNNING

if TYPE_CHECKING:
    from telemetry.openai.call import OpenAICall

RUN_KEY = context.create_key("analysis-telemetry-run")
STAGE_KEY = context.create_key("analysis-telemetry-stage")
DOCUMENT_KEY = context.create_key("analysis-telemetry-document")
OWNER_KEY = context.create_key("analysis-telemetry-owner")
"""The recorder of the application at work, or :data:`NOBODY` if its telemetry is off."""


class Run:
    """The fragment of a run in this process.

    A plain record; the operations are in :class:`telemetry.api.handle.RunHandle`. Processes that work on the
    same run share ``run_id``; each has its own ``fragment_id``.
    """

    def __init__(
        self,
        kind: str,
        *,
        run_id: str | None = None,
        is_root: bool = True,
        user_id: int | None = None,
        subject: str | None = None,
        analysis_id: int | None = None,
        enqueued_at: datetime | None = None,
        candidates: int | None = None,
        criteria: int | None = None,
        jd: tuple[int | None, int | None] | None = None,
        jd_type: str | None = None,
        synthetic: bool = False,
    ) -> None:
        """Describe a run that starts now; nothing is recorded yet."""
        self.kind = kind
        self.run_id = run_id or uuid.uuid4().hex
        self.fragment_id = uuid.uuid4().hex
        self.is_root = is_root
        self.user_id = user_id
        self.subject = subject
        self.analysis_id = analysis_id
        self.enqueued_at = enqueued_at
        self.candidates = candidates
        self.criteria = criteria
        self.jd = jd or (None, None)
        self.jd_type = jd_type
        self.synthetic = synthetic
        self.status: str = RUNNING
        """``running`` until the host or an exception ends the run."""
        self.document_key = ""
        """Key for the hashes of its document names, if no TELEMETRY_HMAC_KEY is set."""
        self.finishes = True
        """Whether closing this fragment ends the run; False for a process that hands the run over."""
        self.span: trace.Span = trace.INVALID_SPAN
        self.parent = Context()
        """The context before the run, which is current again when it has ended."""
        self.is_ending = False
        """Whether one of its handles has begun to end it; the other handles then do nothing."""
        self.has_ended = False
        self.warnings: tuple[Warned, ...] = ()
        """Warnings that its end gave rise to."""
        self.record: object | None = None
        """State of the recorder for this run; no other code uses it."""


class Document:
    """The facts of one document of a run, complete when its block ends."""

    __slots__ = (
        "analysis_ns",
        "characters",
        "chunks",
        "error_type",
        "extraction_ns",
        "fallback",
        "key",
        "outcome",
        "row_id",
        "score",
        "size",
        "type",
    )

    def __init__(
        self,
        key: str,
        *,
        size: int | None = None,
        characters: int | None = None,
        type: str | None = None,
        row_id: int | None = None,
    ) -> None:
        """Name a document by ``key``, which leaves the process only as a keyed hash."""
        self.key = key
        self.size = size
        """Bytes."""
        self.characters = characters
        self.type = type
        self.row_id = row_id
        """Id of its ``candidate_files`` row, if the application knows it."""
        self.chunks: int | None = None
        self.score: int | None = None
        """Ten-thousandths: 0 to 10,000."""
        self.fallback = False
        self.outcome: str | None = None
        self.error_type: str | None = None
        self.extraction_ns: int | None = None
        """Nanoseconds in the stage ``extraction``; None when it was not extracted here."""
        self.analysis_ns: int | None = None
        """Nanoseconds of all other work on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning that was shown to a user, or the user's answer to the warnings about a subject."""

    type: str | None = None
    """Type of the warning; None for an answer to warnings of all types."""
    is_answer: bool = False
    action: str | None = None
    """What the user did, if known."""
    user_id: int | None = None
    subject: str | None = None
    analysis_id: int | None = None
    document_count: int | None = None
    """Number of documents concerned."""
    document_size: int | None = None
    """Bytes: of all documents, or of the longest or shortest."""
    characters: int | None = None
    """Length of the longest or of the shortest document."""
    limit: int | None = None
    """The limit that the documents, or their number, exceeded."""
    is_automatic: bool = False
    """Whether telemetry detected it by its own limits."""


@dataclass(slots=True)
class OpenStage:
    """An open stage block."""

    run: Run
    name: str
    started_ns: int
    """Epoch nanoseconds."""
    record: object = None
    """State of the recorder for this stage; no other code uses it."""


class Recorder(Protocol):
    """The port through which the API reports to the recorder of the rollup. No method may raise."""

    kinds: tuple[str, ...]
    """Kinds of runs that the application may open."""

    def open(self, run: Run) -> None:
        """Begin to record ``run``; its own span is about to start."""

    def close(self, run: Run) -> None:
        """Keep the final state of ``run``; its own span is about to end."""

    def update(self, run: Run) -> None:
        """Record a change of the handle: a link to an analysis, a status."""

    def document(self, run: Run, document: Document) -> None:
        """Add one visit to a document."""

    def count(self, run: Run, name: str, amount: int) -> None:
        """Add ``amount`` to a declared counter."""

    def error(self, run: Run, stage: str | None, error_type: str) -> None:
        """Add one error of ``stage``."""

    def stage_started(self, stage: OpenStage) -> None:
        """Start the clock of a stage."""

    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Stop the clock of a stage; ``span`` is its span."""

    def warn(self, warned: Warned) -> None:
        """Record a warning, or an answer to warnings."""

    def call_started(self, call: OpenAICall) -> None:
        """Record that a call has begun."""

    def call_ended(self, call: OpenAICall) -> None:
        """Add a call that has ended to the run in which it started."""


class NoRecorder:
    """The recorder until ``attach`` installs another: it does nothing."""

    kinds: tuple[str, ...] = RUN_KINDS

    def open(self, run: Run) -> None:
        """Do nothing."""

    def close(self, run: Run) -> None:
        """Do nothing."""

    def update(self, run: Run) -> None:
        """Do nothing."""

    def document(self, run: Run, document: Document) -> None:
        """Do nothing."""

    def count(self, run: Run, name: str, amount: int) -> None:
        """Do nothing."""

    def error(self, run: Run, stage: str | None, error_type: str) -> None:
        """Do nothing."""

    def stage_started(self, stage: OpenStage) -> None:
        """Do nothing."""

    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Do nothing."""

    def warn(self, warned: Warned) -> None:
        """Do nothing."""

    def call_started(self, call: OpenAICall) -> None:
        """Do nothing."""

    def call_ended(self, call: OpenAICall) -> None:
        """Do nothing."""


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
