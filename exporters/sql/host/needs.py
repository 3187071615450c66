"""What telemetry needs of the application's own tables, for upgrade, doctor, validate and docs.

Keys are required, because rows are found by them. All other columns are used if they exist and their type
fits; the list says what is lost without them.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class Kind(enum.Enum):
    """What a column must hold; the value is its name in messages."""

    KEY = "whole number"
    """Our references to it are BIGINT, so it is neither text nor a UUID."""
    MOMENT = "time"
    """With a time zone, or naive UTC; a date stands for its midnight."""
    NUMBER = "number"
    TRUTH = "boolean or whole number"
    TEXT = "text"
    BYTES = "bytes"


class Use(enum.Enum):
    """The purpose for which a column is read."""

    PROJECTION = "projection"
    HISTORY = "import-history"
    EXPORT = "export"


class Need(NamedTuple):
    """One column of a table of the application."""

    table: str
    column: str
    kind: Kind
    used_for: str
    without: str
    """What happens without it; empty if it is required."""
    use: Use = Use.PROJECTION

    @property
    def is_required(self) -> bool:
        """Whether an upgrade is refused without it."""
        return not self.without


NEEDS: Final = (
    Need("users", "id", Kind.KEY, "The user of a run; unique by itself.", ""),
    Need(
        "users",
        "created_at",
        Kind.MOMENT,
        "Who is new, for the segment `new`.",
        "Nobody is new: that segment is empty.",
    ),
    Need(
        "users",
        "email",
        Kind.TEXT,
        "`export --with-emails`.",
        "That option is refused.",
        Use.EXPORT,
    ),
    Need("analyses", "id", Kind.KEY, "The analysis of a run; unique by itself.", ""),
    Need("analyses", "user_id", Kind.KEY, "Whether a run belongs to the row; may be NULL.", ""),
    Need(
        "analyses",
        "created_at",
        Kind.MOMENT,
        "Distinguishes a row from an earlier one with the same id; the age of history.",
        "A row with the id of a deleted one shows its runs as well; `import-history` takes nothing over.",
    ),
    Need(
        "analyses",
        "exceeded_resume_limit",
        Kind.TRUTH,
        "Whether the batch was over the limit.",
        "Known from the warning `batch_too_large` alone.",
    ),
    Need(
        "analyses",
        "user_chose_override",
        Kind.TRUTH,
        "Whether the user went on all the same.",
        "Known from the answers to warnings alone.",
    ),
    Need(
        "analyses",
        "cost_usd",
        Kind.NUMBER,
        "What a user pays for the analysis, in dollars: the revenue on dashboards.",
        "Dashboards show no revenue and no margin.",
    ),
    Need(
        "analyses",
        "completed_at",
        Kind.MOMENT,
        "The end of an analysis of history.",
        "Endings of history are `unknown`; the index idx_analyses_completed_at is left out.",
        Use.HISTORY,
    ),
    Need(
        "analyses",
        "processing_duration_seconds",
        Kind.NUMBER,
        "The duration of an analysis of history.",
        "`completed_at` less `created_at`; the index idx_analyses_processing_duration is left out.",
        Use.HISTORY,
    ),
    Need(
        "analyses",
        "num_candidates",
        Kind.NUMBER,
        "Candidates of history.",
        "The number of stored files.",
        Use.HISTORY,
    ),
    Need(
        "analyses",
        "num_criteria",
        Kind.NUMBER,
        "Criteria of history.",
        "Unknown.",
        Use.HISTORY,
    ),
    Need("candidate_files", "id", Kind.KEY, "The row of a document; unique by itself.", ""),
    Need("candidate_files", "analysis_id", Kind.KEY, "The analysis of a file.", ""),
    Need(
        "candidate_files",
        "file_name",
        Kind.TEXT,
        "Which file a document is; the type of a file of history.",
        "A file shows its document only where the application gives `row_id`.",
    ),
    Need(
        "candidate_files",
        "file_bytes",
        Kind.BYTES,
        "Its size, and which of two namesakes it is.",
        "The size that `telemetry.document` was given; unknown of history.",
    ),
    Need(
        "candidate_files",
        "extracted_text",
        Kind.TEXT,
        "The length of a text of history.",
        "Unknown.",
        Use.HISTORY,
    ),
)
"""All needs, table by table."""

OPTIONAL_TABLES: Final = {"candidate_files": "no file shows its document, and history has no sizes"}
"""Tables that an application need not have, and what is lost without them."""

TABLES: Final = tuple(dict.fromkeys(need.table for need in NEEDS))

_BY_PLACE: Final = {(need.table, need.column): need for need in NEEDS}


def need(table: str, column: str) -> Need | None:
    """Return the need for a column; None for one that is not the application's."""
    return _BY_PLACE.get((table, column))
