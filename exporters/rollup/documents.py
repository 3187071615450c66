"""The documents of a run: each fragment adds up its visits to them, then the fragments are merged.

The result of a merge is independent of the order of the fragments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telemetry.conventions import DUPLICATE, FAILED, SCORED, UNSCORED

if TYPE_CHECKING:
    from telemetry._internal.run import Document

_OUTCOMES = (UNSCORED, DUPLICATE, FAILED, SCORED)
"""Outcomes of one document in several fragments, the strongest last."""


@dataclass(slots=True)
class DocumentState:
    """One document of a run. Its name appears only as a keyed hash."""

    key: str
    size: int | None = None
    row_id: int | None = None
    characters: int | None = None
    type: str | None = None
    extraction_us: int | None = None
    analysis_us: int | None = None
    chunks: int | None = None
    score: int | None = None
    fallback: bool = False
    """Whether the score was given as a fallback."""
    outcome: str = "unscored"
    error_type: str | None = None
    degraded: bool = False
    """Whether a fallback was recorded without a score; then a score from another visit is a fallback too."""

    @property
    def has_fallback(self) -> bool:
        """Whether its score, if it has one, is a fallback."""
        return self.fallback or self.degraded

    def may_be(self, size: int | None, row_id: int | None) -> bool:
        """Return whether a document of the same name may be this one; unknown values do not differ."""
        same_size = None in (size, self.size) or size == self.size
        return same_size and (None in (row_id, self.row_id) or row_id == self.row_id)


def merge_visit(state: DocumentState, visit: Document) -> None:
    """Add the results of one visit to the ``state`` of a document."""
    state.size = _known(visit.size, state.size)
    state.characters = _known(visit.characters, state.characters)
    state.type = visit.type or state.type
    state.row_id = _known(visit.row_id, state.row_id)
    state.chunks = _known(visit.chunks, state.chunks)
    state.extraction_us = _longer(state.extraction_us, visit.extraction_ns)
    state.analysis_us = _longer(state.analysis_us, visit.analysis_ns)
    state.error_type = visit.error_type or state.error_type
    has_score = state.score is not None and not state.fallback
    if visit.score is not None and not (has_score and visit.fallback):
        state.score, state.fallback = visit.score, visit.fallback
    state.degraded = state.degraded or (visit.fallback and visit.score is None)
    state.outcome = _outcome(state, visit)


def merge_documents(fragments: Iterable[Iterable[DocumentState]]) -> list[DocumentState]:
    """Return the documents of a run from those of each of its fragments."""
    states: dict[str, list[DocumentState]] = defaultdict(list)
    for documents in fragments:
        for document in documents:
            states[document.key].append(document)
    return [document for key in sorted(states) for document in _distinct(states[key])]


def _outcome(state: DocumentState, visit: Document) -> str:
    """Return the new outcome: a real score wins, then a duplicate, then a failure or a fallback score."""
    if state.score is not None and not state.has_fallback:
        return SCORED
    if visit.outcome == DUPLICATE:
        return DUPLICATE
    if state.has_fallback or visit.error_type or state.outcome == FAILED:
        return FAILED
    return UNSCORED if state.outcome != DUPLICATE else DUPLICATE


def _longer(known_us: int | None, more_ns: int | None) -> int | None:
    return known_us if more_ns is None else (known_us or 0) + more_ns // 1000


def _known(new: int | None, old: int | None) -> int | None:
    return old if new is None else new


def _distinct(states: list[DocumentState]) -> list[DocumentState]:
    """Return the documents of one name, which several processes may have visited."""
    if len(states) == 1:  # the usual case, without anything to sort or join
        return states
    documents: list[DocumentState] = []
    for state in sorted(states, key=_most_known_first):
        for place, known in enumerate(documents):
            if known.may_be(state.size, state.row_id):
                documents[place] = _join(known, state)
                break
        else:
            documents.append(state)
    return documents


def _most_known_first(document: DocumentState) -> tuple[object, ...]:
    size, row_id = document.size, document.row_id
    return size is None, row_id is None, size or 0, row_id or 0, _strength(document)


def _join(one: DocumentState, other: DocumentState) -> DocumentState:
    """Join two processes' states of one document, independent of their order."""
    strong, weak = sorted((one, other), key=_strength, reverse=True)
    return DocumentState(
        key=one.key,
        size=_either(one.size, other.size),
        row_id=_either(strong.row_id, weak.row_id),
        characters=_either(strong.characters, weak.characters),
        type=strong.type or weak.type,
        extraction_us=sum_known(one.extraction_us, other.extraction_us),
        analysis_us=sum_known(one.analysis_us, other.analysis_us),
        chunks=_either(strong.chunks, weak.chunks),
        score=strong.score,
        fallback=strong.fallback,
        outcome=FAILED if strong.outcome == SCORED and weak.degraded else strong.outcome,
        error_type=strong.error_type or weak.error_type,
        degraded=one.degraded or other.degraded,
    )


def _strength(document: DocumentState) -> tuple[object, ...]:
    """Return the sort key of a document's state: one with a real score, even if degraded, is strongest."""
    outcome = SCORED if document.score is not None and not document.fallback else document.outcome
    return (
        _OUTCOMES.index(outcome) if outcome in _OUTCOMES else -1,
        -1 if document.score is None else document.score,
        not document.fallback,
        document.error_type or "",
        document.row_id or 0,
        document.characters or 0,
        document.type or "",
        document.chunks or 0,
    )


def _either(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def sum_known(one: int | None, other: int | None) -> int | None:
    """Return the sum of what is known; None if neither is."""
    return None if one is None and other is None else (one or 0) + (other or 0)
