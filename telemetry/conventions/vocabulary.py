"""Values of labels and columns: stages, kinds, statuses, outcomes, types."""

from __future__ import annotations

import re
from typing import Final


class Stage:
    """Stages that are known from the start; hosts may use others as well."""

    CRITERIA: Final = "criteria"
    NAMING: Final = "naming"
    EXTRACTION: Final = "extraction"
    EMBEDDING: Final = "embedding"
    SIMILARITY: Final = "similarity"
    RANKING: Final = "ranking"
    INSIGHTS: Final = "insights"
    DB_WRITE: Final = "db_write"
    UNATTRIBUTED: Final = "unattributed"
    """The stage of calls outside any stage."""


STAGES: Final = (
    Stage.CRITERIA,
    Stage.NAMING,
    Stage.EXTRACTION,
    Stage.EMBEDDING,
    Stage.SIMILARITY,
    Stage.RANKING,
    Stage.INSIGHTS,
    Stage.DB_WRITE,
    Stage.UNATTRIBUTED,
)

OTHER: Final = "other"
"""Label value for everything outside a closed set or beyond a cap, and the kind of runs of unknown kinds."""

RUN_KINDS: Final = ("analysis", "intake", "late")
"""Kinds of runs that an application may open; TELEMETRY_RUN_KINDS adds to them."""
MEASURED_KINDS: Final = (*RUN_KINDS, OTHER)
"""Kinds of runs that a process begins and ends: the values of the label ``kind``."""
KINDS: Final = (*MEASURED_KINDS, "orphan", "import")
KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,19}")
"""Pattern of the name of a kind; its column has 20 characters."""

RUNNING: Final = "running"
COMPLETED: Final = "completed"
PARTIAL_FAILURE: Final = "partial_failure"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"
UNKNOWN: Final = "unknown"
"""Status of an analysis from before telemetry whose row does not show how it ended."""
TERMINAL_STATUSES: Final = (COMPLETED, PARTIAL_FAILURE, FAILED, CANCELLED, INTERRUPTED)

RESERVED_KINDS: Final = (
    *KINDS,
    *(RUNNING, *TERMINAL_STATUSES, UNKNOWN),
    *("analyses", "history", "useful", "repeated", "unused_intake"),
)
"""Names that an application cannot use for its kinds: reports use them for classes of spending."""

SCORED: Final = "scored"
UNSCORED: Final = "unscored"
DUPLICATE: Final = "duplicate"
DOCUMENT_OUTCOMES: Final = (SCORED, FAILED, UNSCORED, DUPLICATE)
DOCUMENT_TYPES: Final = ("pdf", "docx", "txt", "doc", "rtf", "odt", "html", "md")

BATCH_TOO_LARGE: Final = "batch_too_large"
WARNING_TYPES: Final = (
    *("jd_too_long", "jd_too_short", "resume_too_long", "resume_too_short"),
    BATCH_TOO_LARGE,
)
ABANDONED: Final = "abandoned"
CONTINUED: Final = "continued"
WARNING_ACTIONS: Final = (CONTINUED, ABANDONED, "reduced_batch", "override")
"""What users do after a warning."""
SHOWN: Final = "shown"
REFUSED: Final = "refused"
"""Action of a warning that was not recorded, because its user had too many."""

BATCH_SIZES: Final = ("none", "small", "medium", "large")
MEDIUM_BATCH: Final = 51
LARGE_BATCH: Final = 151

UNACCOUNTED_REASONS: Final = ("usage_missing", "unpriced", "orphan", "unfinished", "unclosed")
TOO_FAST: Final = "429"
QUOTA_USED_UP: Final = "429_quota"
SPEND_LIMIT_REACHED: Final = "429_spend_limit"
"""The three meanings of a 429; a later attempt can succeed only after the first."""
ATTEMPT_STATUSES: Final = (
    "200",
    "400",
    "401",
    "403",
    "404",
    "408",
    "409",
    "422",
    TOO_FAST,
    QUOTA_USED_UP,
    SPEND_LIMIT_REACHED,
    "500",
    "502",
    "503",
    "504",
    "timeout",
    "connection_error",
    "read_error",
    "cancelled",
)


def batch_size(candidates: int | None) -> str:
    """Return the batch size of a run.

    ``none``, ``small`` (1-50), ``medium`` (51-150) or ``large`` (151 and more).
    """
    if not candidates or candidates < 1:
        return "none"
    if candidates < MEDIUM_BATCH:
        return "small"
    return "medium" if candidates < LARGE_BATCH else "large"
