"""Drafts, which collect a job description and résumés until they are analysed."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath

from flask import Blueprint, abort, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required  # type: ignore[import-untyped]
from sqlalchemy import select
from werkzeug.datastructures import FileStorage

import telemetry

from . import payments
from .ai import IntakeAssistant
from .config import settings
from .documents import UnreadableDocument
from .intake import Received, clean_name, receive_jd, receive_resume
from .models import Draft, DraftResume, db
from .web import answer, own, wants_json

bp = Blueprint("uploads", __name__)

WARNINGS = {
    "jd_too_long": "The job description has more than {limit:,} characters: what matters may get lost.",
    "jd_too_short": "The job description has fewer than {limit:,} characters: it says little to judge by.",
    "resume_too_long": "{count} résumés have more than {limit:,} characters.",
    "resume_too_short": "{count} résumés have fewer than {limit:,} characters: perhaps they are scans.",
}
"""What users read, by the type of a warning."""


@bp.before_request
@login_required  # type: ignore[untyped-decorator]
def _members_only() -> None:
    """Require a signed-in user for every page here."""


@bp.get("/")
@bp.get("/drafts")
def drafts() -> ResponseReturnValue:
    mine = select(Draft).where(Draft.user_id == current_user.id).order_by(Draft.id.desc())
    return render_template("drafts.html", drafts=db.session.scalars(mine).all())


@bp.post("/drafts")
def create_draft() -> ResponseReturnValue:
    title = request.form.get("title", "").strip()[:255] or "Untitled position"
    draft = Draft(user_id=current_user.id, title=title)
    db.session.add(draft)
    db.session.commit()
    return answer(url_for("uploads.draft", draft_id=draft.id), {"draft": draft.id}, 201)


@bp.get("/drafts/<int:draft_id>")
def draft(draft_id: int) -> ResponseReturnValue:
    found = own(Draft, draft_id)
    return render_template(
        "draft.html", draft=found, settings=settings(), price=payments.quote(len(found.resumes))
    )


@bp.post("/drafts/<int:draft_id>/delete")
def delete_draft(draft_id: int) -> ResponseReturnValue:
    found = own(Draft, draft_id)
    if _is_being_analysed(found):
        return _refuse(found, "This draft is being analysed and cannot be deleted now.", 409)
    db.session.delete(found)
    db.session.commit()
    return answer(url_for("uploads.drafts"), {}, message="The draft has been deleted.")


@bp.post("/drafts/<int:draft_id>/jd")
def upload_jd(draft_id: int) -> ResponseReturnValue:
    found = own(Draft, draft_id)
    files = _files("jd")
    if not files:
        return _refuse(found, "Choose the file with the job description.")
    name, data = clean_name(files[0].filename), files[0].read()
    try:
        with IntakeAssistant(settings()) as assistant, _intake(found) as run:
            receive_jd(found, name, data, assistant)
            run.describe(jd=(len(data), len(found.jd_text or "")), jd_type=PurePosixPath(name).suffix)
    except UnreadableDocument as error:
        return _refuse(found, str(error))
    message = f"{name} has been read: {len(found.criteria)} criteria."
    _warn(run)
    return answer(_page(found), {"criteria": found.criteria}, message=message)


@bp.post("/drafts/<int:draft_id>/resumes")
def upload_resumes(draft_id: int) -> ResponseReturnValue:
    found = own(Draft, draft_id)
    files = _files("resumes")
    if not files:
        return _refuse(found, "Choose one or more files with résumés.")
    with IntakeAssistant(settings()) as assistant, _intake(found) as run:
        received = [receive_resume(draft_id, clean_name(f.filename), f.read(), assistant) for f in files]
    if not wants_json():
        _tell(received)
    _warn(run)
    return answer(_page(found), {"received": [vars(item) for item in received]})


@bp.post("/drafts/<int:draft_id>/resumes/<int:resume_id>/remove")
def remove_resume(draft_id: int, resume_id: int) -> ResponseReturnValue:
    found = own(Draft, draft_id)
    if _is_being_analysed(found):
        return _refuse(found, "This draft is being analysed and cannot be changed now.", 409)
    resume = db.session.get(DraftResume, resume_id)
    if resume is None or resume.draft_id != draft_id:
        abort(404)
    db.session.delete(resume)
    db.session.commit()
    return answer(_page(found), {}, message=f"{resume.file_name} has been removed.")


def _intake(draft: Draft) -> telemetry.RunHandle:
    """Open a run for the calls of a draft before its analysis exists."""
    return telemetry.run("intake", user_id=current_user.id, subject=("draft", draft.id))


def _warn(run: telemetry.RunHandle) -> None:
    """Show the warnings about uploaded documents on the page."""
    for warned in run.warnings if not wants_json() else ():
        if warned.type in WARNINGS:
            flash(WARNINGS[warned.type].format(count=warned.document_count, limit=warned.limit), "warning")


def _files(field: str) -> list[FileStorage]:
    """Return the files of a form field; browsers send one without a name when none was chosen."""
    return [file for file in request.files.getlist(field) if file.filename]


def _page(draft: Draft) -> str:
    return url_for("uploads.draft", draft_id=draft.id)


def _refuse(draft: Draft, message: str, status: int = 400) -> ResponseReturnValue:
    return answer(_page(draft), {"error": message}, status, message)


def _is_being_analysed(draft: Draft) -> bool:
    return any(job.state in ("queued", "running") for job in draft.jobs)


def _tell(received: list[Received]) -> None:
    counts = Counter(item.outcome for item in received)
    if counts["stored"]:
        flash(f"{counts['stored']} résumés stored.", "info")
    for item in received:
        if item.outcome == "duplicate":
            flash(f"{item.file_name} is a duplicate of {item.detail} and was not stored again.", "warning")
        elif item.outcome == "unreadable":
            flash(item.detail, "error")
