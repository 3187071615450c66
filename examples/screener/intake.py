"""Processing of documents while they are uploaded: text, criteria, names and duplicates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

import telemetry

from .ai import IntakeAssistant
from .documents import UnreadableDocument, extract_text
from .models import Draft, DraftResume, db

HEAD = 1500
"""Characters of a résumé that are read to find the name."""


@dataclass(frozen=True)
class Received:
    """The result of uploading a résumé."""

    file_name: str
    outcome: str
    """stored, duplicate or unreadable."""
    detail: str = ""
    """The name it is stored under already, or why it cannot be read."""


def receive_jd(draft: Draft, file_name: str, data: bytes, assistant: IntakeAssistant) -> None:
    """Read a job description and find its criteria.

    Raises:
        UnreadableDocument: it has no text; the draft stays as it was.
    """
    text = telemetry.stage("extraction", extract_text, data, file_name)
    criteria = telemetry.stage("criteria", assistant.criteria, text)
    draft.jd_file_name = file_name
    draft.jd_bytes = data
    draft.jd_hash = content_hash(data)
    draft.jd_text = text
    draft.criteria_data = json.dumps([asdict(criterion) for criterion in criteria], ensure_ascii=False)
    db.session.commit()


def receive_resume(draft_id: int, file_name: str, data: bytes, assistant: IntakeAssistant) -> Received:
    """Store a résumé with its text and the candidate's name, unless the draft holds the same content."""
    digest = content_hash(data)
    kind = PurePosixPath(file_name).suffix
    with telemetry.document(file_name, size=len(data), type=kind) as document:
        known = _stored_as(draft_id, digest)
        if known is not None:
            document.duplicate()
            return Received(file_name, "duplicate", known)
        resume = DraftResume(draft_id=draft_id, file_name=file_name, content_hash=digest, file_bytes=data)
        try:
            _read(resume, assistant)
            document.describe(characters=len(resume.extracted_text or ""))
        except UnreadableDocument as error:
            document.fail(error)
            resume.error = str(error)
    return _store(resume)


def _read(resume: DraftResume, assistant: IntakeAssistant) -> None:
    """Find the text of a résumé and the name in it."""
    text = telemetry.stage("extraction", extract_text, resume.file_bytes, resume.file_name)
    default = PurePosixPath(resume.file_name).stem.replace("_", " ")
    resume.extracted_text = text
    resume.candidate_name = telemetry.stage("naming", assistant.name, text[:HEAD], default)


def content_hash(data: bytes) -> str:
    """What equal documents have in common, whatever their names."""
    return hashlib.sha256(data).hexdigest()


def clean_name(file_name: str | None) -> str:
    """Return the last part of a file name as browsers send it, shortened to the length of its column."""
    name = PurePosixPath((file_name or "").replace("\\", "/").replace("\x00", "")).name
    return name[-255:] or "unnamed"


def _store(resume: DraftResume) -> Received:
    draft_id, digest, file_name, error = resume.draft_id, resume.content_hash, resume.file_name, resume.error
    db.session.add(resume)
    try:
        db.session.commit()
    except IntegrityError:  # another request stored the same content meanwhile
        db.session.rollback()
        return Received(file_name, "duplicate", _stored_as(draft_id, digest) or "")
    return Received(file_name, "unreadable", error) if error else Received(file_name, "stored")


def _stored_as(draft_id: int, digest: str) -> str | None:
    same = select(DraftResume.file_name).where(
        DraftResume.draft_id == draft_id, DraftResume.content_hash == digest
    )
    return db.session.scalar(same)
