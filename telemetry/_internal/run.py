"""What the API reports to a recorder: runs, documents, stages and warnings. Plain records."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from opentelemetry import trace
from opentelemetry.context import Context

from telemetry.conventions import RUNNING


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
