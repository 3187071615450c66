"""The tables of warnings that were shown to users, and of the events from which they are made."""

from __future__ import annotations

import sqlalchemy as sa

from telemetry import conventions as c

from ..columns import BYTES, column, listed
from ..host import HOST
from .kinds import metadata, number, own_id, reference, utc_now


def _cascade(table: sa.Table) -> sa.ForeignKey:
    return sa.ForeignKey(table.c.id, ondelete="CASCADE")


document_warnings = sa.Table(
    "document_warnings",
    metadata,
    column("id", sa.Integer(), "Id of the warning.", primary_key=True),
    column("analysis_id", sa.BigInteger(), "The analysis, once there is one.", "", _cascade(HOST.analyses)),
    column("user_id", sa.BigInteger(), "Who was warned.", "", _cascade(HOST.users)),
    column("subject", sa.String(255), "What it was about before there was an analysis: `draft:12`."),
    column("warning_type", sa.String(50), "One of TELEMETRY_WARNING_TYPES.", nullable=False),
    column(
        "warning_shown_at",
        sa.DateTime(),
        "When it was shown.",
        nullable=False,
        server_default=utc_now(),
    ),
    column("user_action", sa.String(50), f"What the user did then: {listed(c.WARNING_ACTIONS)}."),
    column("document_count", sa.Integer(), "How many documents it was about.", "documents"),
    number("document_size", BYTES, "Of all of them, or of the longest or shortest."),
    column("additional_data", sa.Text(), "JSON: what else the host said, such as the limit."),
)
"""Warnings shown to users about their documents, and what they did then."""

sa.Index("idx_warnings_analysis", document_warnings.c.analysis_id)
sa.Index("idx_warnings_user", document_warnings.c.user_id)
sa.Index("idx_warnings_subject", document_warnings.c.subject)
sa.Index("idx_warnings_type", document_warnings.c.warning_type)
sa.Index("idx_warnings_shown_at", document_warnings.c.warning_shown_at)

warning_events = sa.Table(
    "telemetry_warning_events",
    metadata,
    own_id("event_id", "Id of the event, so that it counts once however often it arrives."),
    reference("user_ref", "`users.id`."),
    column("subject", sa.String(255), "What it is about, as of a run."),
    column("warning_type", sa.String(50), "Of the warning; an answer may be to all."),
    column("user_action", sa.String(50), "What the user did; NULL: a warning was shown."),
    column("happened_at", sa.DateTime(), "When, as the application said.", nullable=False),
    column("arrived_at", sa.DateTime(), "When it arrived.", nullable=False, server_default=utc_now()),
)
"""What the application reported about warnings, as often and in whatever order it arrives.

A warning that was shown has no ``user_action``; an answer has, and holds for what was shown before it.
"""

sa.Index(None, warning_events.c.subject)
sa.Index(None, warning_events.c.arrived_at)
