"""Limits of a run's documents that cause warnings: too long, too short, or too many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from telemetry import conventions as c
from telemetry._internal.run import Warned
from telemetry.settings import Settings

from .documents import DocumentState
from .snapshot import Snapshot


def exceeded(final: Snapshot, settings: Settings) -> Iterator[Warned]:
    """Yield one warning for each limit that the final state of a run exceeds.

    Lengths are checked where documents come in: in the intake or, without one, in the analysis.
    """
    if final.kind == "intake" or (final.kind == "analysis" and final.subject is None):
        yield from _lengths(_jd(final), "jd", settings.jd_min_characters, settings.jd_max_characters)
        resumes = final.documents or ()
        yield from _lengths(resumes, "resume", settings.resume_min_characters, settings.resume_max_characters)
    most, candidates = settings.batch_max_documents, final.candidates or 0
    if final.kind in ("intake", "analysis") and 0 < most < candidates:
        # The analysis of so many documents means that the user has continued.
        action = c.CONTINUED if final.kind == "analysis" else None
        yield Warned(type=c.BATCH_TOO_LARGE, document_count=candidates, limit=most, action=action)


def _jd(final: Snapshot) -> Iterable[DocumentState]:
    if final.jd_characters is None:
        return ()
    return (DocumentState("jd", size=final.jd_bytes, characters=final.jd_characters),)


def _lengths(documents: Iterable[DocumentState], what: str, least: int, most: int) -> Iterator[Warned]:
    readable = sorted(
        ((document.characters, document.size) for document in documents if document.characters is not None),
        key=lambda length: length[0],
    )
    too_long = [length for length in readable if 0 < most < length[0]]
    too_short = [length for length in readable if length[0] < least]
    if too_long:
        yield _warned(f"{what}_too_long", len(too_long), most, *too_long[-1])
    if too_short:
        yield _warned(f"{what}_too_short", len(too_short), least, *too_short[0])


def _warned(kind: str, count: int, limit: int, characters: int, size: int | None) -> Warned:
    return Warned(type=kind, document_count=count, document_size=size, characters=characters, limit=limit)
