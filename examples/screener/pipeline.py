"""The analysis, stage by stage: embedding, similarity, ranking, insights, and writing the result."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import select

import telemetry

from . import jobs
from .ai import AnalysisAssistant, Tally, Vector
from .models import CandidateFile, DraftResume, User, db, utcnow
from .work import AnalysisFailed, Candidate, Work, described, load, present

log = logging.getLogger(__name__)

CHUNK = 6000
"""Characters embedded as one text, well below the limit of the embedding model."""


def perform(analysis_id: int) -> bool:
    """Run an analysis and note on its job how it ended; return whether it was completed."""
    tally = Tally()
    with telemetry.run("analysis", analysis_id=analysis_id, **described(analysis_id)) as run:
        try:
            run_analysis(analysis_id, tally)
        except Exception as error:
            run.fail(error)
            db.session.rollback()
            if not isinstance(error, AnalysisFailed):
                log.exception("analysis %d failed", analysis_id)
            jobs.fail(analysis_id, _reason(error), tally)
            return False
    return True


def run_analysis(analysis_id: int, tally: Tally | None = None) -> None:
    """Run all stages of an analysis that has been started.

    Raises:
        AnalysisFailed: there is nothing to analyse, or the analysis was deleted.
    """
    work = load(analysis_id, tally or Tally())
    telemetry.stage("embedding", embed, work)
    telemetry.stage("similarity", compare, work)
    telemetry.stage("ranking", rank, work)
    telemetry.stage("insights", write_insights, work)
    telemetry.stage("db_write", save, work)


def embed(work: Work) -> None:
    """Turn job description, criteria and résumés into vectors."""
    work.report("embedding", 0.0)
    demand = [_clip(work.jd), *(f"{c.name}: {c.description}" for c in work.criteria)]
    pieces = [_chunks(candidate.text or "") for candidate in work.readable]
    vectors = asyncio.run(_embed(work, [*demand, *(chunk for chunks in pieces for chunk in chunks)]))
    work.demand = vectors[: len(demand)]
    rows = iter(vectors[len(demand) :])
    for candidate, chunks in zip(work.readable, pieces, strict=True):
        candidate.chunks = len(chunks)
        candidate.vectors = np.array(list(islice(rows, len(chunks))))


async def _embed(work: Work, texts: list[str]) -> Vector:
    async with AnalysisAssistant(work.settings, work.tally) as assistant:
        return await assistant.embed(texts)


def compare(work: Work) -> None:
    """Compute the similarity of each résumé to job description and criteria."""
    work.report("similarity", 0.0)
    assert work.demand is not None
    for candidate in work.readable:
        assert candidate.vectors is not None
        closeness = _cosine(work.demand, candidate.vectors)
        # The best chunk counts: a long résumé is not worse for what else it says.
        candidate.similarity = round(float(closeness.max(axis=1).mean()), 6)


def rank(work: Work) -> None:
    """Rate every résumé by every criterion."""
    for candidate in work.candidates:
        if candidate.error:
            with candidate.document() as document:
                document.fail("UnreadableDocument", again=True)
    asyncio.run(_rank(work))


async def _rank(work: Work) -> None:
    work.report("ranking", 0.0)
    done = 0
    async with AnalysisAssistant(work.settings, work.tally) as assistant:
        rankings = [rank_candidate(work, assistant, candidate) for candidate in work.readable]
        for ranking in asyncio.as_completed(rankings):
            await ranking
            done += 1
            work.report("ranking", done / len(rankings))


async def rank_candidate(work: Work, assistant: AnalysisAssistant, candidate: Candidate) -> None:
    """Rate one résumé by every criterion."""
    text = candidate.text or ""
    with candidate.document() as document:
        ratings = await asyncio.gather(*(assistant.rate(criterion, text) for criterion in work.criteria))
        candidate.ratings = list(ratings)
        if candidate.overall is not None:
            document.score(candidate.overall, out_of=100)


def write_insights(work: Work) -> None:
    """Describe the best candidates."""
    work.report("insights", 0.0)
    best = [candidate for candidate in work.ranked if candidate.text][: work.settings.insights]
    asyncio.run(_write_insights(work, best))


async def _write_insights(work: Work, best: list[Candidate]) -> None:
    async with AnalysisAssistant(work.settings, work.tally) as assistant:
        insights = await asyncio.gather(*(assistant.insight(work.jd, c.text or "") for c in best))
    for candidate, insight in zip(best, insights, strict=True):
        candidate.insight = insight


def save(work: Work) -> None:
    """Store the files and the result, in one transaction at the end."""
    work.report("db_write", 0.0)
    analysis = present(work.analysis_id)
    files = _files(work)
    db.session.add_all(files.values())
    db.session.flush()
    candidates = [_outcome(candidate, files[candidate.resume_id].id) for candidate in work.ranked]
    analysis.coverage_data = json.dumps(work.coverage() | {"candidates": candidates}, ensure_ascii=False)
    analysis.completed_at = utcnow()
    analysis.processing_duration_seconds = round(time.monotonic() - work.started)
    user = db.session.get_one(User, analysis.user_id)
    user.total_analyses_count = User.total_analyses_count + 1
    jobs.complete(work.analysis_id, work.tally)  # commits it all


def _files(work: Work) -> dict[int, CandidateFile]:
    ids = [candidate.resume_id for candidate in work.candidates]
    stored = select(DraftResume.id, DraftResume.file_bytes).where(DraftResume.id.in_(ids))
    contents: dict[int, bytes] = {row.id: row.file_bytes for row in db.session.execute(stored)}
    if len(contents) < len(ids):
        raise AnalysisFailed("Résumés were removed from the draft while the analysis ran.")
    return {
        candidate.resume_id: CandidateFile(
            analysis_id=work.analysis_id,
            candidate_name=candidate.name,
            file_name=candidate.file_name,
            file_bytes=contents[candidate.resume_id],
            extracted_text=candidate.text or "",
        )
        for candidate in work.candidates
    }


def _outcome(candidate: Candidate, file_id: int) -> dict[str, Any]:
    return {
        "id": file_id,
        "name": candidate.name,
        "file_name": candidate.file_name,
        "overall": candidate.overall,
        "similarity": candidate.similarity,
        "ratings": [vars(rating) for rating in candidate.ratings],
        "insight": candidate.insight,
        "error": candidate.error,
    }


def _cosine(a: Vector, b: Vector) -> Vector:
    """Return the cosines of the angles between each row of `a` and each row of `b`."""
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None, :]
    cosines: Vector = (a @ b.T) / np.maximum(lengths, 1e-12)
    return cosines


def _clip(text: str) -> str:
    return text[:CHUNK]


def _chunks(text: str) -> list[str]:
    return [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]


def _reason(error: Exception) -> str:
    if isinstance(error, AnalysisFailed):
        return str(error)
    return f"The analysis failed ({type(error).__name__}). Please try again later."
