"""Analyses: start one from a draft, watch it, show its result, unlock insights, delete it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required  # type: ignore[import-untyped]
from sqlalchemy import delete, select

import telemetry

from . import jobs, payments
from .ai import AnalysisAssistant, Tally
from .config import settings
from .models import Analysis, CandidateFile, Draft, Job, db, utcnow
from .pipeline import perform
from .web import answer, own, wants_json

bp = Blueprint("analyses", __name__)


@bp.before_request
@login_required  # type: ignore[untyped-decorator]
def _members_only() -> None:
    """Require a signed-in user for every page here."""


@bp.post("/drafts/<int:draft_id>/analyses")
def start(draft_id: int) -> ResponseReturnValue:
    """Start an analysis: small ones are complete when this returns, large ones wait for the worker."""
    draft = own(Draft, draft_id)
    override = request.form.get("override") is not None
    refusal = _refusal(draft, override)
    if refusal:
        return answer(url_for("uploads.draft", draft_id=draft_id), {"error": refusal}, 400, refusal)
    in_request = len(draft.resumes) <= settings().request_limit or not draft.readable
    hopeless = not draft.readable
    _answer_warnings(draft_id, override)
    analysis_id = _enter(draft, override, in_request)
    if in_request:
        perform(analysis_id)
    return _started(analysis_id, in_request, hopeless)


@bp.get("/analyses")
def analyses() -> ResponseReturnValue:
    mine = select(Analysis).where(Analysis.user_id == current_user.id).order_by(Analysis.id.desc())
    return render_template("analyses.html", analyses=db.session.scalars(mine).all())


@bp.get("/analyses/<int:analysis_id>")
def analysis(analysis_id: int) -> ResponseReturnValue:
    found = own(Analysis, analysis_id)
    if wants_json():
        return _result(found)
    return render_template("analysis.html", analysis=found, job=found.job, coverage=found.coverage)


@bp.get("/analyses/<int:analysis_id>/status")
def status(analysis_id: int) -> ResponseReturnValue:
    return _status(own(Analysis, analysis_id))


@bp.post("/analyses/<int:analysis_id>/insights/<int:candidate_id>")
def unlock_insight(analysis_id: int, candidate_id: int) -> ResponseReturnValue:
    """Write the insight of one more candidate, possibly days after the analysis."""
    found = own(Analysis, analysis_id)
    candidate = _candidate(found.coverage, candidate_id)
    if candidate is None or candidate["error"] is not None:
        abort(404)
    url = url_for("analyses.analysis", analysis_id=analysis_id, _anchor=f"candidate-{candidate_id}")
    insight = candidate["insight"] or _write_insight(found, candidate_id)
    if insight is None:
        message = "The insight could not be written. Please try again later; nothing was charged."
        return answer(url, {"error": message}, 502, message)
    return answer(url, {"insight": insight})


@bp.post("/analyses/<int:analysis_id>/delete")
def delete_one(analysis_id: int) -> ResponseReturnValue:
    _delete([own(Analysis, analysis_id).id])
    return answer(url_for("analyses.analyses"), {}, message="The analysis has been deleted.")


@bp.post("/analyses/delete")
def delete_many() -> ResponseReturnValue:
    ids = [own(Analysis, row_id).id for row_id in request.form.getlist("id", type=int)]
    _delete(ids)
    return answer(
        url_for("analyses.analyses"), {"deleted": len(ids)}, message=f"{len(ids)} analyses have been deleted."
    )


def _refusal(draft: Draft, override: bool) -> str:
    """Return why a draft cannot be analysed; empty if it can."""
    limit = settings().resume_limit
    if not draft.jd_text:
        return "Upload the job description first."
    if len(draft.resumes) > limit and not override:
        return (
            f"This draft has {len(draft.resumes)} résumés, more than the {limit} we recommend. "
            'Remove some, or tick "analyse anyway".'
        )
    return ""


def _answer_warnings(draft_id: int, override: bool) -> None:
    """The user goes on, whether or not the page could report it."""
    subject = ("draft", draft_id)
    if override:
        telemetry.answer_warnings(subject, "override", warning_type="batch_too_large")
    telemetry.answer_warnings(subject, "continued")


def _enter(draft: Draft, override: bool, in_request: bool) -> int:
    """Commit the row of the analysis with its price and its job, before any work is done."""
    exceeded = len(draft.resumes) > settings().resume_limit
    found = Analysis(
        user_id=current_user.id,
        job_title=draft.title,
        num_candidates=len(draft.resumes),
        num_criteria=len(draft.criteria),
        cost_usd=payments.quote(len(draft.resumes)),
        exceeded_resume_limit=exceeded,
        user_chose_override=exceeded and override,
    )
    db.session.add(found)
    db.session.flush()
    db.session.add(_job(found.id, draft.id, in_request))
    payments.charge(found.user_id, found.id, found.cost_usd)
    current_user.last_seen = utcnow()
    db.session.commit()
    return found.id


def _job(analysis_id: int, draft_id: int, in_request: bool) -> Job:
    if not in_request:
        return Job(analysis_id=analysis_id, draft_id=draft_id, state="queued")
    now = utcnow()
    return Job(
        analysis_id=analysis_id,
        draft_id=draft_id,
        state="running",
        owner=jobs.me(),
        started_at=now,
        touched_at=now,
    )


def _started(analysis_id: int, in_request: bool, hopeless: bool) -> ResponseReturnValue:
    found = db.session.get_one(Analysis, analysis_id)
    data = _status(found) | {"analysis": analysis_id}
    if hopeless and not wants_json():
        return render_template("analysis.html", analysis=found, job=found.job, coverage={}), 400
    code = 400 if hopeless else 201 if in_request else 202
    return answer(url_for("analyses.analysis", analysis_id=analysis_id), data, code)


def _status(found: Analysis) -> dict[str, Any]:
    job = found.job
    if job is None:  # from before there were jobs
        return {"state": "completed", "progress": 1.0, "stage": "", "message": ""}
    return {"state": job.state, "progress": job.progress, "stage": job.stage, "message": job.message}


def _result(found: Analysis) -> dict[str, Any]:
    return _status(found) | {
        "id": found.id,
        "job_title": found.job_title,
        "num_candidates": found.num_candidates,
        "num_criteria": found.num_criteria,
        "exceeded_resume_limit": found.exceeded_resume_limit,
        "user_chose_override": found.user_chose_override,
        "criteria": found.coverage.get("criteria", []),
        "candidates": found.coverage.get("candidates", []),
    }


def _candidate(coverage: dict[str, Any], candidate_id: int) -> dict[str, Any] | None:
    return next((c for c in coverage.get("candidates", []) if c["id"] == candidate_id), None)


def _write_insight(found: Analysis, candidate_id: int) -> dict[str, Any] | None:
    file = db.session.get_one(CandidateFile, candidate_id)
    with telemetry.run("late", user_id=found.user_id, analysis_id=found.id), telemetry.stage("insights"):
        insight = asyncio.run(_ask_for_insight(found.coverage["job_description"], file.extracted_text))
    if insight is not None:
        _keep_insight(found.id, candidate_id, insight)
    return insight


async def _ask_for_insight(jd: str, resume: str) -> dict[str, Any] | None:
    async with AnalysisAssistant(settings(), Tally()) as assistant:
        return await assistant.insight(jd, resume)


def _keep_insight(analysis_id: int, candidate_id: int, insight: dict[str, Any]) -> None:
    """Add the insight to the result; the row is read again, since others may have been added meanwhile."""
    db.session.rollback()
    found = db.session.get(Analysis, analysis_id, with_for_update=True)
    coverage = found.coverage if found else {}
    candidate = _candidate(coverage, candidate_id)
    if found and candidate and candidate["insight"] is None:
        candidate["insight"] = insight
        found.coverage_data = json.dumps(coverage, ensure_ascii=False)
        payments.charge(found.user_id, found.id, payments.PRICE_PER_INSIGHT)
    db.session.commit()


def _delete(ids: list[int]) -> None:
    """Delete analyses and their dependent rows, explicitly, since SQLite does not enforce ON DELETE."""
    db.session.execute(delete(CandidateFile).where(CandidateFile.analysis_id.in_(ids)))
    db.session.execute(delete(Job).where(Job.analysis_id.in_(ids)))
    db.session.execute(delete(Analysis).where(Analysis.id.in_(ids)))
    db.session.commit()
