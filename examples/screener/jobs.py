"""Jobs: the owner, progress and result of each analysis, updated in short transactions."""

from __future__ import annotations

import logging
import os
import socket
import time
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Update, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from . import payments
from .ai import Tally
from .models import Analysis, Heartbeat, Job, db, utcnow

log = logging.getLogger(__name__)

SILENCE = timedelta(minutes=15)
"""Time without progress after which a job of another machine is taken for dead."""
PROGRESS_INTERVAL = 0.5
"""Seconds between two updates of progress within one stage."""
SPAN = {"embedding": (0.0, 0.1), "similarity": (0.1, 0.1), "ranking": (0.1, 0.9), "insights": (0.9, 0.98)}
"""The part of the whole that each stage is: its beginning and its end."""


def me() -> str:
    """Return the name of this process, as an owner of jobs."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim() -> int | None:
    """Take the oldest waiting job for this process; returns its analysis, None when nothing waits."""
    while True:
        waiting = select(Job.id).where(Job.state == "queued").order_by(Job.id).limit(1)
        job_id = db.session.scalar(waiting)
        if job_id is None:
            db.session.rollback()
            return None
        now = utcnow()
        taken = _change(
            update(Job)
            .where(Job.id == job_id, Job.state == "queued")
            .values(state="running", owner=me(), started_at=now, touched_at=now)
        )
        if taken:
            return db.session.scalar(select(Job.analysis_id).where(Job.id == job_id))


def number_waiting() -> int:
    """Return the number of jobs that no worker has taken yet."""
    return db.session.scalar(select(func.count()).where(Job.state == "queued")) or 0


def beat() -> None:
    """Note that this process, a worker, is alive."""
    now = utcnow()
    if not _change(update(Heartbeat).where(Heartbeat.worker == me()).values(seen_at=now)):
        db.session.add(Heartbeat(worker=me(), seen_at=now))
        db.session.commit()


def worker_seen() -> datetime | None:
    """Return when a worker last looked for a job, or got on with one; None if there never was a worker."""
    looked = db.session.scalar(select(func.max(Heartbeat.seen_at)))
    at_work = select(func.max(Job.touched_at)).join(Heartbeat, Heartbeat.worker == Job.owner)
    worked = db.session.scalar(at_work.where(Job.state == "running"))
    return max((moment for moment in (looked, worked) if moment is not None), default=None)


def give_back(analysis_id: int) -> None:
    """Return an unfinished job of this process to the queue."""
    db.session.rollback()
    _change(
        update(Job)
        .where(Job.analysis_id == analysis_id, Job.state == "running")
        .values(state="queued", owner=None, progress=0.0, stage="", started_at=None)
    )


def complete(analysis_id: int, tally: Tally) -> None:
    """Mark a job as completed."""
    message = ""
    if tally.fallbacks:
        message = f"{tally.fallbacks} answers could not be obtained and were replaced by defaults."
    _end(analysis_id, "completed", message, tally, progress=1.0, stage="")


def fail(analysis_id: int, message: str, tally: Tally) -> None:
    """Mark a job as failed, store the reason, and refund the customer."""
    _end(analysis_id, "failed", message, tally)
    analysis = db.session.get(Analysis, analysis_id)
    if analysis is not None:
        payments.refund(analysis.user_id, analysis_id)
    db.session.commit()


def fail_abandoned() -> int:
    """Mark the running jobs of dead processes as failed, and return their number."""
    running = db.session.execute(select(Job).where(Job.state == "running")).scalars().all()
    abandoned = [job.analysis_id for job in running if _is_dead(job)]
    for analysis_id in abandoned:
        log.warning("analysis %d was left unfinished by a process that is gone", analysis_id)
        fail(analysis_id, "The process analysing it ended unexpectedly. Please start it again.", Tally())
    db.session.rollback()
    return len(abandoned)


class Progress:
    """Stores the progress of an analysis, at most every `PROGRESS_INTERVAL` within a stage."""

    def __init__(self, analysis_id: int) -> None:
        self._analysis_id = analysis_id
        self._stage = ""
        self._noted = 0.0

    def __call__(self, stage: str, share: float) -> None:
        """Store that `share` (0 to 1) of a stage is done."""
        now = time.monotonic()
        if stage == self._stage and now - self._noted < PROGRESS_INTERVAL:
            return
        self._stage, self._noted = stage, now
        start, end = SPAN.get(stage, (0.98, 1.0))
        self._write(stage, start + share * (end - start))

    def _write(self, stage: str, progress: float) -> None:
        values = {"stage": stage, "progress": round(progress, 3), "touched_at": utcnow()}
        try:
            _change(update(Job).where(Job.analysis_id == self._analysis_id).values(**values))
        except SQLAlchemyError as error:  # failing to store progress must not fail the analysis
            db.session.rollback()
            log.warning("progress of analysis %d not noted: %s", self._analysis_id, error)


def _end(analysis_id: int, state: str, message: str, tally: Tally, **values: Any) -> None:
    _change(
        update(Job)
        .where(Job.analysis_id == analysis_id)
        .values(
            state=state,
            message=message,
            retries=tally.retries,
            fallbacks=tally.fallbacks,
            finished_at=utcnow(),
            **values,
        )
    )


def _change(statement: Update) -> bool:
    """Run an UPDATE and commit; return whether a row was changed."""
    result = cast("CursorResult[Any]", db.session.execute(statement))
    db.session.commit()
    return result.rowcount == 1


def _is_dead(job: Job) -> bool:
    host, _, pid = (job.owner or "").rpartition(":")
    if host != socket.gethostname():
        return job.touched_at is None or job.touched_at < utcnow() - SILENCE
    # In a container a new worker often has the process id of the dead one, and cannot own a job yet.
    return int(pid) == os.getpid() or not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
