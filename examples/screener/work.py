"""The data of one analysis in memory, which the stages of the pipeline read and fill in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from statistics import fmean
from typing import Any

from sqlalchemy import func, select

import telemetry

from .ai import Tally, Vector
from .config import Settings, settings
from .jobs import Progress
from .models import Analysis, Draft, DraftResume, Job, db
from .prompts import Criterion, Rating


class AnalysisFailed(Exception):
    """An analysis cannot continue; the message is for the user."""


@dataclass
class Candidate:
    """One résumé, and its results."""

    resume_id: int
    file_name: str
    name: str
    size: int
    """Bytes of the file."""
    text: str | None
    """None when the file could not be read."""
    error: str | None = None
    chunks: int = 0
    """Number of chunks in which the text was embedded."""
    vectors: Vector | None = None
    """One row per chunk."""
    similarity: float | None = None
    """Similarity to job description and criteria, -1 to 1."""
    ratings: list[Rating] = field(default_factory=list)
    """One per criterion, in the same order."""
    insight: dict[str, Any] | None = None

    @property
    def overall(self) -> float | None:
        """Mean of the ratings, 0 to 100; None for a file that could not be read."""
        return round(fmean(rating.score for rating in self.ratings), 2) if self.ratings else None

    def document(self) -> telemetry.DocumentBlock:
        """Return the block in which the work on this résumé is measured."""
        return telemetry.document(
            self.file_name,
            size=self.size,
            characters=None if self.text is None else len(self.text),
            type=PurePosixPath(self.file_name).suffix,
            chunks=self.chunks or None,
        )


@dataclass
class Work:
    """One analysis while it runs."""

    analysis_id: int
    jd: str
    criteria: list[Criterion]
    candidates: list[Candidate]
    settings: Settings
    tally: Tally
    report: Callable[[str, float], None]
    """Called with a stage and the share of it that is done."""
    started: float = field(default_factory=time.monotonic)
    demand: Vector | None = None
    """Vectors of the job description and the criteria, one row each."""

    @property
    def readable(self) -> list[Candidate]:
        """The candidates whose text could be read."""
        return [candidate for candidate in self.candidates if candidate.text]

    @property
    def ranked(self) -> list[Candidate]:
        """All candidates, best first; similarity decides between equals, unreadable files come last."""
        return sorted(self.candidates, key=_rank, reverse=True)

    @property
    def outcome(self) -> str:
        """`completed`; `partial_failure` if something is missing; `failed` if no candidate could be rated."""
        rated = [c for c in self.readable if not any(rating.fallback for rating in c.ratings)]
        if not rated:
            return "failed"
        described = self.settings.insights == 0 or any(c.insight for c in self.candidates)
        return "completed" if described and len(rated) == len(self.candidates) else "partial_failure"

    def coverage(self) -> dict[str, Any]:
        """The result without the candidates, as it is stored with the analysis."""
        return {
            "job_description": self.jd,
            "criteria": [{"name": c.name, "description": c.description} for c in self.criteria],
            "outcome": self.outcome,
        }


def load(analysis_id: int, tally: Tally) -> Work:
    """Read the data of an analysis from its draft.

    Raises:
        AnalysisFailed: the analysis or its draft was deleted, or the draft has no readable résumé.
    """
    job = db.session.query(Job).filter_by(analysis_id=analysis_id).one_or_none()
    if job is None or job.draft is None:
        raise AnalysisFailed("The draft of this analysis has been deleted.")
    work = Work(
        analysis_id=analysis_id,
        jd=job.draft.jd_text or "",
        criteria=[Criterion(c["name"], c["description"]) for c in job.draft.criteria],
        candidates=_candidates(job.draft),
        settings=settings(),
        tally=tally,
        report=Progress(analysis_id),
    )
    db.session.commit()  # hold no lock during the following minutes
    if not work.readable:
        raise AnalysisFailed(_nothing_to_read(len(work.candidates)))
    return work


def present(analysis_id: int) -> Analysis:
    """Return the row of a running analysis.

    Raises:
        AnalysisFailed: the user deleted it meanwhile.
    """
    analysis = db.session.get(Analysis, analysis_id)
    if analysis is None:
        raise AnalysisFailed("The analysis was deleted while it ran.")
    return analysis


def described(analysis_id: int) -> dict[str, Any]:
    """Return the facts of an analysis before it begins, for its run."""
    job = db.session.query(Job).filter_by(analysis_id=analysis_id).one_or_none()
    if job is None or job.draft is None:
        return {}
    draft, started = job.draft, job.started_at or job.created_at
    return {
        "user_id": draft.user_id,
        "subject": ("draft", draft.id),
        "enqueued_at": job.created_at if started > job.created_at else None,
        "candidates": len(draft.resumes),
        "criteria": len(draft.criteria),
        "jd": (len(draft.jd_bytes or b""), len(draft.jd_text or "")),
        "jd_type": PurePosixPath(draft.jd_file_name or "").suffix,
    }


def _candidates(draft: Draft) -> list[Candidate]:
    lengths = select(DraftResume.id, func.length(DraftResume.file_bytes)).where(
        DraftResume.draft_id == draft.id
    )
    sizes = {row_id: size for row_id, size in db.session.execute(lengths)}
    return [_candidate(resume, sizes[resume.id]) for resume in draft.resumes]


def _candidate(resume: DraftResume, size: int) -> Candidate:
    return Candidate(
        size=size,
        resume_id=resume.id,
        file_name=resume.file_name,
        name=resume.candidate_name or resume.file_name,
        text=resume.extracted_text,
        error=resume.error,
    )


def _rank(candidate: Candidate) -> tuple[float, float]:
    overall = candidate.overall
    return (-1.0 if overall is None else overall, candidate.similarity or 0.0)


def _nothing_to_read(uploaded: int) -> str:
    if uploaded == 0:
        return "There is no résumé to analyse. Upload at least one PDF, DOCX or TXT file."
    return f"None of the {uploaded} uploaded résumés could be read. Upload at least one readable file."
