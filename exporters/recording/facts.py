"""Makes the first snapshot of a fragment, before anything is added to it."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Final

from exporters.rollup.snapshot import Snapshot
from telemetry import conventions as c
from telemetry._internal.run import Run

ORPHANS: Final = uuid.UUID("6f1d0d2e-4d4f-4a55-8a57-6b1f6f7c9a10")
"""Namespace of the ids of the daily orphan runs."""


def facts_of(run: Run, process_id: str) -> Snapshot:
    """Return the facts of the fragment that ``run`` opens in this process."""
    now = time.time_ns()
    return Snapshot(
        run_id=run.run_id,
        fragment_id=run.fragment_id,
        process_id=process_id,
        kind=run.kind,
        seq=0,
        opened_at=now,
        taken_at=now,
        is_root=run.is_root,
        synthetic=run.synthetic,
        user_id=run.user_id,
        subject=run.subject,
        analysis_id=run.analysis_id,
        enqueued_at=int(run.enqueued_at.timestamp() * 1e9) if run.enqueued_at else None,
        candidates=run.candidates,
        criteria=run.criteria,
        jd_bytes=run.jd[0],
        jd_characters=run.jd[1],
        jd_type=run.jd_type,
    )


def late_facts_of(run: Run, process_id: str) -> Snapshot:
    """Return the facts of the fragment for spans and calls that end after ``run`` has ended."""
    facts = facts_of(run, process_id)
    facts.is_root, facts.fragment_id = False, uuid.uuid4().hex
    facts.closed_at = facts.opened_at
    return facts


def orphan_facts_of(day: str, process_id: str) -> Snapshot:
    """Return the facts of this process's fragment of the orphan run of ``day``, an ISO date."""
    start = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1e9)
    return Snapshot(
        run_id=uuid.uuid5(ORPHANS, day).hex,
        fragment_id=uuid.uuid4().hex,
        process_id=process_id,
        kind="orphan",
        seq=0,
        opened_at=start,
        taken_at=start,
        closed_at=start + 86_400 * 10**9,
        ends_run=True,
        status=c.COMPLETED,
    )
