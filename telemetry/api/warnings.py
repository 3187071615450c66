"""Warnings that were shown to users, and what the users did next."""

from __future__ import annotations

from telemetry._internal.context import is_recording, recorder, run_in
from telemetry._internal.guard import guarded
from telemetry._internal.run import Warned
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
    """Record that a warning was shown to a user; neither an analysis nor a run has to exist.

    Args:
        warning_type: one of TELEMETRY_WARNING_TYPES; anything else is recorded as ``other``.
        user_id: the user who saw it; default: the user of the current run.
        subject: subject of the warning, such as ``("draft", 12)``; default: that of the current run. The
            warning belongs to the analysis whose run has the same subject, once there is one.
        analysis_id: the analysis, if it exists already.
        action: what the user did, if that is known already; else see :func:`answer_warnings`.
        document_count: number of documents concerned.
        document_size: their size in bytes.
        limit: the limit that they exceeded.
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
    """Record what a user did after the warnings about a subject that have no answer yet.

    Args:
        subject: as in :func:`warn`.
        action: ``continued``, ``abandoned``, ``reduced_batch`` or ``override``; anything else counts as
            ``continued``.
        warning_type: only warnings of this type; default: of all types.
        user_id: only warnings to this user, if several users share a subject; default: to all.
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
