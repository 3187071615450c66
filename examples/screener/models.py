"""The tables of the screener: users, drafts, résumés, analyses and their files, jobs, workers, payments."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flask_login import UserMixin  # type: ignore[import-untyped]
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, LargeBinary, Numeric, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship


class Base(DeclarativeBase):
    """Parent of all tables."""


db = SQLAlchemy(metadata=Base.metadata)


def utcnow() -> datetime:
    """Return the current time as it is stored: UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)


class User(UserMixin, Base):  # type: ignore[misc]
    """Somebody who signs in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(120))
    is_admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    last_seen: Mapped[datetime | None]
    total_analyses_count: Mapped[int] = mapped_column(default=0)


class Analysis(Base):
    """A comparison of a job description with résumés. Inserted at its start, completed at its end."""

    __tablename__ = "analyses"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    job_title: Mapped[str | None] = mapped_column(String(255))
    num_candidates: Mapped[int]
    num_criteria: Mapped[int]
    coverage_data: Mapped[str | None] = mapped_column(Text)
    """JSON: the job description, the criteria and each candidate's ratings and insight."""
    cost_usd: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    """The price the customer was quoted."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    completed_at: Mapped[datetime | None]
    processing_duration_seconds: Mapped[int | None]
    exceeded_resume_limit: Mapped[bool | None]
    user_chose_override: Mapped[bool | None]

    files: Mapped[list[CandidateFile]] = relationship(
        back_populates="analysis", cascade="all, delete-orphan", order_by="CandidateFile.id"
    )
    job: Mapped[Job | None] = relationship(back_populates="analysis", cascade="all, delete-orphan")

    @property
    def coverage(self) -> dict[str, Any]:
        """The decoded `coverage_data`; empty until the analysis is complete."""
        found: dict[str, Any] = json.loads(self.coverage_data or "{}")
        return found

    @property
    def outcome(self) -> str:
        """The status that pages show: the state of its job, or the outcome of a completed one."""
        state = self.job.state if self.job else "completed"  # older ones have no job
        return str(self.coverage.get("outcome", state)) if state == "completed" else state


class CandidateFile(Base):
    """One résumé of an analysis, kept as it was uploaded."""

    __tablename__ = "candidate_files"

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id", ondelete="CASCADE"), index=True)
    candidate_name: Mapped[str | None] = mapped_column(String(255))
    file_name: Mapped[str] = mapped_column(String(255))
    file_bytes: Mapped[bytes] = deferred(mapped_column(LargeBinary, nullable=False))
    extracted_text: Mapped[str] = deferred(mapped_column(Text, nullable=False))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    analysis: Mapped[Analysis] = relationship(back_populates="files")


class Draft(Base):
    """A job description and résumés being collected; may be analysed several times or never."""

    __tablename__ = "drafts"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(255))
    jd_file_name: Mapped[str | None] = mapped_column(String(255))
    jd_bytes: Mapped[bytes | None] = deferred(mapped_column(LargeBinary))
    jd_hash: Mapped[str | None] = mapped_column(String(64))
    jd_text: Mapped[str | None] = mapped_column(Text)
    criteria_data: Mapped[str | None] = mapped_column(Text)
    """JSON: the criteria found in the job description."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    resumes: Mapped[list[DraftResume]] = relationship(
        back_populates="draft", cascade="all, delete-orphan", order_by="DraftResume.id"
    )
    jobs: Mapped[list[Job]] = relationship(back_populates="draft", order_by="Job.id")

    @property
    def criteria(self) -> list[dict[str, str]]:
        """The criteria as name and description."""
        found: list[dict[str, str]] = json.loads(self.criteria_data or "[]")
        return found

    @property
    def readable(self) -> list[DraftResume]:
        """The résumés that have a text."""
        return [resume for resume in self.resumes if resume.error is None]


class DraftResume(Base):
    """One uploaded résumé; the same content is kept once per draft, whatever its name."""

    __tablename__ = "draft_resumes"
    __table_args__ = (UniqueConstraint("draft_id", "content_hash"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    draft_id: Mapped[int] = mapped_column(ForeignKey("drafts.id", ondelete="CASCADE"))
    file_name: Mapped[str] = mapped_column(String(255))
    content_hash: Mapped[str] = mapped_column(String(64))
    file_bytes: Mapped[bytes] = deferred(mapped_column(LargeBinary, nullable=False))
    candidate_name: Mapped[str | None] = mapped_column(String(255))
    extracted_text: Mapped[str | None] = deferred(mapped_column(Text))
    error: Mapped[str | None] = mapped_column(Text)
    """Why no text could be read; NULL for a readable résumé."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    draft: Mapped[Draft] = relationship(back_populates="resumes")


class Job(Base):
    """The progress and the owner of an analysis; one row per analysis."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    analysis_id: Mapped[int] = mapped_column(ForeignKey("analyses.id", ondelete="CASCADE"), unique=True)
    draft_id: Mapped[int | None] = mapped_column(ForeignKey("drafts.id", ondelete="SET NULL"), index=True)
    state: Mapped[str] = mapped_column(String(20), index=True)
    """queued, running, completed or failed."""
    progress: Mapped[float] = mapped_column(default=0.0)
    """Share of the work done, 0 to 1."""
    stage: Mapped[str] = mapped_column(String(64), default="")
    message: Mapped[str] = mapped_column(Text, default="")
    owner: Mapped[str | None] = mapped_column(String(255))
    """The process that runs it, as host:pid."""
    retries: Mapped[int] = mapped_column(default=0)
    """Calls the app repeated after the client had given up."""
    fallbacks: Mapped[int] = mapped_column(default=0)
    """Answers that had to be replaced by a default."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    touched_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    analysis: Mapped[Analysis] = relationship(back_populates="job")
    draft: Mapped[Draft | None] = relationship(back_populates="jobs")


class Heartbeat(Base):
    """When a worker last looked for a job; one row per worker."""

    __tablename__ = "worker_heartbeats"

    id: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str] = mapped_column(String(255), unique=True)
    """Its name as an owner of jobs."""
    seen_at: Mapped[datetime]


class Payment(Base):
    """The ledger of what customers paid: charges, and refunds as negative amounts. Rows are only added."""

    __tablename__ = "payments"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    analysis_id: Mapped[int | None]
    """Kept after the analysis itself is deleted, hence no foreign key."""
    kind: Mapped[str] = mapped_column(String(20))
    """charge or refund."""
    amount_usd: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
