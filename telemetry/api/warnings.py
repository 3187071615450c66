"""Warnings that users were shown, and what they did then."""

from __future__ import annotations

from telemetry._internal.context import Warned, is_recording, recorder, run_in
from telemetry._internal.guard import guarded
from telemetry.conventions import CONTINUED, WARNING_ACTIONS

from . import arguments
from .arguments import Subject


def warn(
    warning_type: str,
    *,
    user_id: int | None = None,
    subject: Subject | None = None,
    analysis_id: int | None = None,
    action: str | None = None,
    document_count: int | None = None,
    document_size: int | None = None,
    limit: int | None = None,
) -> None:
    """Say that a user was shown a warning; an analysis need not exist yet, nor a run be open.

    Args:
        warning_type: one of TELEMETRY_WARNING_TYPES; anything else is recorded as ``other``.
        user_id: who was shown it; default: whose run is current.
        subject: what it was about, such as ``("draft", 12)``; default: that of the current run. The warning
            belongs to the analysis whose run has the same subject, once there is one.
        analysis_id: the analysis, if it exists already.
        action: what the user did, if that is known already; else see :func:`answer_warnings`.
        document_count: how many documents it is about.
        document_size: their bytes.
        limit: what they went beyond.
    """
    with guarded("api"):
        if not is_recording():
            return
        run = run_in()
        recorder().warn(
            Warned(
                type=arguments.name("warning_type", warning_type),
                action=(
                    None if action is None else arguments.choice("action", action, WARNING_ACTIONS, CONTINUED)
                ),
                user_id=arguments.known("user_id", user_id, run.user_id if run else None),
                subject=arguments.subject("subject", subject) or (run.subject if run else None),
                analysis_id=arguments.known("analysis_id", analysis_id, run.analysis_id if run else None),
                document_count=arguments.number_of("document_count", document_count),
                document_size=arguments.number_of("document_size", document_size),
                limit=arguments.number_of("limit", limit),
            )
        )


def answer_warnings(
    subject: Subject, action: str, *, warning_type: str | None = None, user_id: int | None = None
) -> None:
    """Say what a user did after the warnings about a subject that nobody has answered yet.

    Args:
        subject: as in :func:`warn`.
        action: ``continued``, ``abandoned``, ``reduced_batch`` or ``override``; anything else counts as
            ``continued``.
        warning_type: which of them; default: all.
        user_id: the user, where a subject is not one user's alone; default: whoever was shown them.
    """
    with guarded("api"):
        if not is_recording():
            return
        about = arguments.required_subject("subject", subject)
        if about is None:
            return
        recorder().warn(
            Warned(
                type=None if warning_type is None else arguments.name("warning_type", warning_type),
                is_answer=True,
                action=arguments.choice("action", action, WARNING_ACTIONS, CONTINUED),
                user_id=arguments.number_of("user_id", user_id),
                subject=about,
            )
        )
