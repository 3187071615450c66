"""Documents of a run: a block for each visit to one of them."""

from __future__ import annotations

import time
from copy import copy
from decimal import ROUND_HALF_EVEN
from types import TracebackType
from typing import Self

from telemetry._internal.context import DOCUMENT_KEY, recorder, stage_in
from telemetry._internal.guard import guarded
from telemetry._internal.run import Document
from telemetry.conventions import DUPLICATE, FAILED, Attribute, Stage

from . import arguments
from .blocks import Block
from .errors import Error, count_error, type_of


class DocumentBlock(Block):
    """The result of :func:`document`: its methods record what becomes known of the document."""

    def __init__(self, facts: Document) -> None:
        """Wrap ``facts``; use :func:`document` instead."""
        super().__init__()
        self._document = facts
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
        """Record what became known: bytes, characters, type, chunks, id of the ``candidate_files`` row."""
        with guarded("api"):
            facts = self._document
            facts.size = arguments.known("size", size, facts.size)
            facts.characters = arguments.known("characters", characters, facts.characters)
            facts.type = arguments.file_type("type", type) or facts.type
            facts.chunks = arguments.known("chunks", chunks, facts.chunks)
            facts.row_id = arguments.known("row_id", row_id, facts.row_id)
            self._record_late_visit()

    def score(self, score: float, *, out_of: float = 1, fallback: bool = False) -> None:
        """Record the candidate's score, inside the block or after it.

        A score counts as a fallback, and in no score band, if this visit was marked, by ``fallback`` here or
        by :func:`record_fallback`, or if another visit to the document called :func:`record_fallback` and
        recorded no score. A score from a visit without a mark replaces one from a visit with a mark.
        """
        with guarded("api"):
            share = arguments.share_of("score", score, out_of)
            if share is None:
                return
            self._document.score = int((share * 10_000).to_integral_value(ROUND_HALF_EVEN))
            self._document.fallback = arguments.flag("fallback", fallback) or self._document.fallback
            self._record_late_visit()

    def fail(self, error: Error, *, again: bool = False) -> None:
        """Record that the document failed, if the application swallows the exception.

        ``error``: the exception, or one word for its type; never its text.

        ``again``: an earlier run has counted this error already, such as an intake that could not read the
        document.
        """
        with guarded("api"):
            error = arguments.error("error", error)
            self._document.error_type = type_of(error)
            self._document.outcome = FAILED
            if self._run is not None and not arguments.flag("again", again):
                count_error(self._run, stage_in(), error)
            self._record_late_visit()

    def duplicate(self) -> None:
        """Record that the document is a copy of another."""
        with guarded("api"):
            self._document.outcome = DUPLICATE
            self._record_late_visit()

    def __enter__(self) -> Self:
        """Start the clock of this visit."""
        with guarded("api"):
            self._enter("document", DOCUMENT_KEY, self._document)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Record the visit; an exception that leaves the block fails the document, and propagates."""
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
                self._leave(type_of(error))

    def _record_late_visit(self) -> None:
        """Record what becomes known after the block as one more visit, which takes no time."""
        if self._has_left and self._run is not None:
            visit = copy(self._document)
            visit.extraction_ns = visit.analysis_ns = None
            recorder().document(self._run, visit)

    def _divide_time(self, elapsed_ns: int) -> None:
        """Divide the time of the block into extraction and other work.

        The stage of extraction may be around the block (all of the time) or inside it (a part of the time).
        """
        facts = self._document
        if stage_in() == Stage.EXTRACTION:
            facts.extraction_ns = elapsed_ns
        else:
            facts.analysis_ns = max(elapsed_ns - (facts.extraction_ns or 0), 0)

    def _describe_span(self) -> None:
        facts = self._document
        attributes = {
            Attribute.DOCUMENT_SIZE: facts.size,
            Attribute.DOCUMENT_CHARACTERS: facts.characters,
            Attribute.DOCUMENT_TYPE: facts.type,
            Attribute.DOCUMENT_OUTCOME: facts.outcome,
        }
        self._span.set_attributes({name: value for name, value in attributes.items() if value is not None})


def document(
    key: object,
    *,
    size: int | None = None,
    characters: int | None = None,
    type: str | None = None,
    chunks: int | None = None,
    row_id: int | None = None,
) -> DocumentBlock:
    """Record the work on one document in a block: size, length, outcome, score and time.

    Args:
        key: identifies the document within its run, usually its file name. Only a keyed hash of it is stored.
        size: bytes.
        characters: length of the extracted text.
        type: file type, such as ``pdf`` or ``application/pdf``; an unknown one is recorded as ``other``.
        chunks: number of pieces that are embedded.
        row_id: id of its ``candidate_files`` row, if it has one already.

    A run may open several blocks for the same key (extraction, then ranking): these visits are merged.
    """
    facts = Document("")
    with guarded("api"):
        facts.key = arguments.key("key", key)
    block = DocumentBlock(facts)
    block.describe(size=size, characters=characters, type=type, chunks=chunks, row_id=row_id)
    return block
