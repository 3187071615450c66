"""Helpers of all pages: access to the user's own rows, and JSON for scripts instead of pages."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import abort, flash, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import current_user  # type: ignore[import-untyped]

from .models import Analysis, Draft, db

Owned = TypeVar("Owned", Analysis, Draft)


def wants_json() -> bool:
    """Return whether the caller asks for JSON rather than a page."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return best == "application/json"


def own(model: type[Owned], row_id: int) -> Owned:
    """Return a row of the signed-in user, or of any user for an admin; abort with 404 for any other."""
    row = db.session.get(model, row_id)
    if row is None or not (row.user_id == current_user.id or current_user.is_admin):
        abort(404)
    return row


def answer(url: str, data: dict[str, Any], status: int = 200, message: str = "") -> ResponseReturnValue:
    """Answer scripts with JSON, and browsers with the page at `url` and the message."""
    if wants_json():
        return jsonify(data), status
    if message:
        flash(message, "error" if status >= 400 else "info")
    return redirect(url)
