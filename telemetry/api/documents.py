"""Documents of a run, each followed through a block."""

from __future__ import annotations

import time
from copy import copy
from decimal import ROUND_HALF_EVEN
from types import TracebackType
from typing import Self

from telemetry._internal.context import DOCUMENT_KEY, Document, recorder, stage_in
from telemetry._internal.guard import guarded
from telemetry.conventions import DUPLICATE, FAILED, Attribute, Stage

from . import arguments
from .blocks import Block
from .errors import Error, count_error, type_of


class DocumentBlock(Block):
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
            self._document.fallback = arguments.flag("fallback", fallback) or self._document.fallback
            self._visit_again()

    def fail(self, error: Error, *, again: bool = False) -> None:
        """Say that the document failed, where the application swallows the exception.

        ``error``: the exception, or a word for its type; never its text.

        ``again``: an earlier run counted this error already, as an intake does whose document cannot be read.
        """
        with guarded("api"):
            error = arguments.error("error", error)
            self._document.error_type = type_of(error)
            self._document.outcome = FAILED
            if self._run is not None and not arguments.flag("again", again):
                count_error(self._run, stage_in(), error)
            self._visit_again()

    def duplicate(self) -> None:
        """Say that the document is a copy of another."""
        with guarded("api"):
            self._document.outcome = DUPLICATE
            self._visit_again()

    def __enter__(self) -> Self:
        """Start to measure."""
        with guarded("api"):
            self._enter("document", DOCUMENT_KEY, self._document)
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
                self._leave(type_of(error))

    def _visit_again(self) -> None:
        """Keep what becomes known after the block as one more visit, which takes no time."""
        if self._has_left and self._run is not None:
            visit = copy(self._document)
            visit.extraction_ns = visit.analysis_ns = None
            recorder().document(self._run, visit)

    def _divide_time(self, elapsed_ns: int) -> None:
        """Count the time as extraction, around the block or inside it, or as other work."""
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
