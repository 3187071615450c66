"""The run handle, its place in the OpenTelemetry Context, and the port through which it reports.

Application code sees the handle through :mod:`telemetry.api`; :mod:`exporters` sees it here. Neither
imports the other: a handle reports to the :class:`Recorder` that ``attach`` installed, and to nobody before
that.
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

from telemetry.conventions import RUNNING, Kind

if TYPE_CHECKING:
    from telemetry.openai.call import OpenAICall

RUN_KEY = context.create_key("analysis-telemetry-run")
STAGE_KEY = context.create_key("analysis-telemetry-stage")
DOCUMENT_KEY = context.create_key("analysis-telemetry-document")
OWNER_KEY = context.create_key("analysis-telemetry-owner")
"""Whose work goes on: the recorder of an application, or :data:`NOBODY` where its telemetry is off."""


class Run:
    """One piece of work that spends money, as seen by this process.

    A plain record: the verbs are in :class:`telemetry.api.runs.RunHandle`. Two processes that work on the
    same run share ``run_id``; each has a ``fragment_id`` of its own.
    """

    def __init__(
        self,
        kind: Kind,
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
        """``running`` until the host or an exception says otherwise."""
        self.document_key = ""
        """What the names of its documents are hashed with, where no key is set that all processes know."""
        self.finishes = True
        """Whether closing this fragment ends the run (a dispatcher's does not)."""
        self.span: trace.Span = trace.INVALID_SPAN
        self.parent = Context()
        """What was current before the run; current again when it has ended."""
        self.is_ending = False
        """Whether one of its handles has begun to end it; the others do nothing then."""
        self.has_ended = False
        self.warnings: tuple[Warned, ...] = ()
        """What its end was worth a warning of."""
        self.record: object | None = None
        """What the recorder keeps for this run; nobody else touches it."""


class Document:
    """What is known of one document of a run once its block is left."""

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
        """Name a document by ``key`` (it never leaves the process but as a keyed hash)."""
        self.key = key
        self.size = size
        """Bytes."""
        self.characters = characters
        self.type = type
        self.row_id = row_id
        """Id of its ``candidate_files`` row, when the application knows it."""
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
    """A warning that a user was shown, or what a user did after those about a subject."""

    type: str | None = None
    """Of the warning; an answer may be to those of all types."""
    is_answer: bool = False
    action: str | None = None
    """What the user did, where that is known."""
    user_id: int | None = None
    subject: str | None = None
    analysis_id: int | None = None
    document_count: int | None = None
    """How many documents it was about."""
    document_size: int | None = None
    """Bytes: of all of them, or of the longest or shortest."""
    characters: int | None = None
    """Length of the longest, or of the shortest, of them."""
    limit: int | None = None
    """What the documents, or their number, went beyond."""
    is_automatic: bool = False
    """Whether telemetry found it out by its own limits."""


@dataclass(slots=True)
class OpenStage:
    """A stage block that is open."""

    run: Run
    name: str
    started_ns: int
    """Epoch nanoseconds."""
    record: object = None
    """What the recorder keeps for it; nobody else touches it."""


class Recorder(Protocol):
    """The port through which the API reports to whoever keeps the rollup. No method may raise."""

    def open(self, run: Run) -> None:
        """Begin to record ``run``; its own span is about to start."""

    def close(self, run: Run) -> None:
        """Keep the final state of ``run``; its own span is about to end."""

    def update(self, run: Run) -> None:
        """Take over what changed on the handle: a link to an analysis, a status."""

    def document(self, run: Run, document: Document) -> None:
        """Add one visit to a document."""

    def count(self, run: Run, name: str, amount: int) -> None:
        """Add ``amount`` to a declared counter."""

    def error(self, run: Run, stage: str | None, error_type: str) -> None:
        """Add one error of ``stage``."""

    def stage_started(self, stage: OpenStage) -> None:
        """Start the clock of a stage."""

    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Stop the clock of a stage; ``span`` stands for it in traces."""

    def warn(self, warned: Warned) -> None:
        """Keep a warning, or an answer to some."""

    def call_started(self, call: OpenAICall) -> None:
        """Note that a call is under way."""

    def call_ended(self, call: OpenAICall) -> None:
        """Add a call that has ended to the run in which it started."""


class NoRecorder:
    """What is installed until ``attach`` installs something better: it does nothing."""

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
"""The owner of what an application does whose telemetry is off."""

_recorder: Recorder = NoRecorder()
_takes_all = False
"""Whether the recorder also takes what other owners do, as it does in tests."""

waiting: list[Callable[[], None]] = []
"""Set-ups that wait for the first use, because what they need was not there yet."""


def install(recorder: Recorder | None, *, takes_all: bool = False) -> tuple[Recorder, bool]:
    """Let runs report to ``recorder`` (None: to nobody); return the arguments that undo it.

    Args:
        recorder: from now on.
        takes_all: whether it also takes the work of applications that belong to another, or to nobody.
    """
    global _recorder, _takes_all
    before = _recorder, _takes_all
    _recorder, _takes_all = recorder or NoRecorder(), takes_all
    return before


def recorder() -> Recorder:
    """Return the recorder that is installed."""
    return _recorder


def takes_all() -> bool:
    """Say whether the recorder also takes what other owners do."""
    return _takes_all


def is_recording() -> bool:
    """Say whether anybody listens to what goes on here: if not, the API is a no-op."""
    if waiting:
        for set_up in tuple(waiting):
            set_up()
    return not isinstance(_recorder, NoRecorder) and not is_elsewhere()


def is_elsewhere(ctx: Context | None = None) -> bool:
    """Say whether ``ctx`` (default: the current context) belongs to another recorder, or to nobody."""
    return recorder_in(context.get_current() if ctx is None else ctx) is None


def recorder_in(ctx: Context) -> Recorder | None:
    """Return the recorder, if it takes what is done in ``ctx``: None if that is another's, or nobody's."""
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
    """Keep our own database, HTTP and log work out of the traces, and threads begun here out of the run."""
    ctx = context.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context())
    token = context.attach(context.set_value("suppress_instrumentation", True, ctx))
    try:
        yield
    finally:
        context.detach(token)
