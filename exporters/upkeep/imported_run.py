"""The run that stands for an analysis from the time before telemetry."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

from exporters.sql.database.statements import Row
from exporters.sql.projection.noted import copies
from telemetry.conventions import (
    CANCELLED,
    COMPLETED,
    DOCUMENT_TYPES,
    FAILED,
    OTHER,
    TERMINAL_STATUSES,
    UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class Files:
    """The stored files of one analysis."""

    rows: Sequence[Row]

    def values(self) -> dict[str, Any]:
        """Return the columns of a run that are derived from them."""
        sizes = [row["file_bytes"] for row in self.rows if row["file_bytes"] is not None]
        lengths = [row["characters"] for row in self.rows if row["characters"] is not None]
        return {
            "n_documents": len(self.rows),
            "resume_bytes": sum(sizes) if sizes else None,
            "resume_characters": sum(lengths) if lengths else None,
            "resume_characters_min": min(lengths, default=None),
            "resume_characters_max": max(lengths, default=None),
        }


def run_of(row: Row, files: Files) -> dict[str, Any]:
    """Return the row in telemetry_runs for a row of ``analyses``, which needs no update."""
    ended, duration = row["completed_at"], row["processing_duration_seconds"]
    if duration is None and ended is not None and ended >= row["created_at"]:
        duration = (ended - row["created_at"]).total_seconds()
    candidates = row["num_candidates"]
    return {
        "run_id": _run_id(row),
        "kind": "import",
        "source": "import",
        "synthetic": False,
        "user_ref": row["user_id"],
        "analysis_ref": row["id"],
        "analysis_created_at": row["created_at"],
        "version": 1,
        "projected_version": 1,
        "status": _status(row["status"], ended),
        "started_at": row["created_at"],
        "ended_at": ended,
        "duration_us": None if duration is None else round(duration * 1_000_000),
        "candidates": (len(files.rows) or None) if candidates is None else candidates,
        "criteria": row["num_criteria"],
        "jd_bytes": row["jd_file_size_bytes"],
        "jd_characters": row["jd_character_count"],
        "cost_complete": False,
        **copies(row),
        **files.values(),
    }


def _status(recorded: object, ended: datetime | None) -> str:
    """Return the status of an analysis by the application's own column `status`, if it has one.

    Failed rows may have a `completed_at`, too, so for an unknown word the status is unknown.
    """
    if recorded is not None:
        return _ENDINGS.get(str(recorded).strip().lower(), UNKNOWN)
    return UNKNOWN if ended is None else COMPLETED


_ENDINGS: Final = {
    **{status: status for status in TERMINAL_STATUSES},
    **dict.fromkeys(("complete", "done", "finished", "success", "succeeded"), COMPLETED),
    **dict.fromkeys(("error", "errored", "failure"), FAILED),
    "canceled": CANCELLED,
}


def _run_id(row: Row) -> str:
    """Return an id that is the same whenever the row is imported."""
    name = f"import {row['id']} {row['created_at'].isoformat()}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def document_type(file_name: str | None) -> str | None:
    """Return the type of a document by the suffix of its name; None without a suffix."""
    suffix = PurePath(file_name or "").suffix.lower().lstrip(".")
    return (suffix if suffix in DOCUMENT_TYPES else OTHER) if suffix else None
