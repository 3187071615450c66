"""What became of the documents of a job: its run, its documents and its errors are all made from this."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from random import Random
from statistics import fmean, median
from typing import Final

from telemetry.conventions import COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE, Stage

from .rows import Row
from .shelf import File

UNREADABLE: Final = "UnreadableDocument"
_OFTEN_UNREADABLE: Final = 0.3
_REASONS: Final = {
    COMPLETED: None,
    PARTIAL_FAILURE: "some documents failed, or have a fallback score",
    FAILED: "the application said so",
    INTERRUPTED: "a process died, or went silent, before it closed the run",
}
"""As the product puts them (docs/reference/status.md)."""
_NOTHING_SCORED: Final = "no document was scored: each failed, or has a fallback score"


@dataclass(frozen=True)
class Outcome:
    """The documents of a job: first those with a score, then those that failed, then the rest."""

    status: str
    files: list[File]
    scores: list[float]
    errors: list[str]
    """The types of the errors of the documents after those with a score."""

    @property
    def refused(self) -> list[str]:
        """The errors of documents that could be read: those happened while they were ranked."""
        return [error for error in self.errors if error != UNREADABLE]

    def facts(self) -> Row:
        """Return what the run says of it."""
        characters = [file.characters for file in self.files if file.characters is not None]
        counts = Counter((Stage.EXTRACTION if e == UNREADABLE else Stage.RANKING, e) for e in self.errors)
        errors = [
            {"stage": stage, "type": kind, "count": count} for (stage, kind), count in counts.most_common()
        ]
        is_nothing = self.status == FAILED and len(self.errors) == len(self.files)
        return {
            "status": self.status,
            "status_reason": _NOTHING_SCORED if is_nothing else _REASONS[self.status],
            "n_documents": len(self.files),
            "n_failed": len(self.errors),
            "resume_bytes": sum(file.size for file in self.files) if self.files else None,
            "resume_characters": sum(characters) if characters else None,
            "resume_characters_min": min(characters, default=None),
            "resume_characters_max": max(characters, default=None),
            **self._of_scores(),
            "error_count": len(self.errors),
            "error_types": json.dumps(errors) if errors else None,
        }

    def _of_scores(self) -> Row:
        scores = self.scores
        above, fair = sum(score >= 0.7 for score in scores), sum(score >= 0.5 for score in scores)
        return {
            "n_scored": len(scores),
            "score_avg": round(fmean(scores), 4) if scores else None,
            "score_median": round(median(scores), 4) if scores else None,
            "score_min": min(scores, default=None),
            "score_max": max(scores, default=None),
            "above_70": above,
            "from_50_to_70": fair - above,
            "below_50": len(scores) - fair,
        }


def outcome(status: str, cause: str, files: list[File], scores: list[float], chance: Random) -> Outcome:
    """Return what became of the documents of a job.

    An error of a document ends a job that failed; the documents after it are never looked at. Of a job that
    was interrupted no document is known: they are reported when a job ends.

    Args:
        status: how the job is meant to end: in part only if some documents have a score.
        cause: the type of the errors, where a document could be read.
        files: all documents.
        scores: of the first of them.
        chance: which of the others could not be read.
    """
    if status == INTERRUPTED:
        return Outcome(status, [], [], [])
    if status == FAILED:
        return Outcome(status, files, scores, [cause])
    done, files = len(scores), list(files)
    errors = [UNREADABLE if chance.random() < _OFTEN_UNREADABLE else cause for _ in files[done:]]
    for place, error in enumerate(errors, start=done):
        if error == UNREADABLE:
            files[place] = files[place]._replace(characters=None)
    return Outcome(FAILED if errors and not done else status, files, scores, errors)
