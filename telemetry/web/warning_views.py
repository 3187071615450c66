"""`POST /api/track-warning` and `PATCH /api/track-warning/<id>`: warnings, and the users' answers.

For the host's own front end, with the host's own login. The host's CSRF protection covers both views like any
other; its token goes into the header that it expects.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import flask
from werkzeug.exceptions import HTTPException

from telemetry import conventions as c
from telemetry._internal.guard import guarded
from telemetry._internal.process.signals import let_pass
from telemetry.settings import Settings
from telemetry.setup.process import pipeline

from .refusal import refusal

if TYPE_CHECKING:
    from exporters.sql.storage.warning_requests import UserWarnings

PATH: Final = "/api/track-warning"
MOST_BYTES: Final = 4096
MOST_DOCUMENTS: Final = 1_000_000
MOST_DOCUMENT_BYTES: Final = 2**40
MOST_TEXT: Final = 255

MOST_ID: Final = 2**63 - 1
"""Maximum of a BIGINT column."""

UserId = Callable[[], int | str | None]


class BadRequest(ValueError):
    """An invalid request: status of the answer, field, and reason."""

    def __init__(self, status: int, field: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.field = field


def blueprint(
    settings_of: Callable[[], Settings | None], current_user_id: UserId | None = None
) -> flask.Blueprint:
    """Return a blueprint with both views.

    Args:
        settings_of: returns the settings of the application, or None while telemetry is off.
        current_user_id: returns the id of the user who is signed in (digits are accepted), or None;
            default: that of Flask-Login.
    """
    pages = flask.Blueprint("telemetry_warnings", __name__)
    views = _Views(settings_of, current_user_id or _flask_login)
    pages.add_url_rule(PATH, "shown", views.shown, methods=["POST"])
    pages.add_url_rule(f"{PATH}/<int:warning_id>", "answered", views.answered, methods=["PATCH"])
    return pages


class _Views:
    def __init__(self, settings_of: Callable[[], Settings | None], current_user_id: UserId) -> None:
        self._settings_of = settings_of
        self._current_user_id = current_user_id
        self._stores: dict[int, UserWarnings] = {}
        """By process id: a forked process needs its own connections."""

    def shown(self) -> flask.Response:
        """Record that the user was shown a warning."""
        return self._answer(self._shown)

    def answered(self, warning_id: int) -> flask.Response:
        """Record what the user did."""
        return self._answer(lambda user: self._answered(user, warning_id))

    def _answer(self, act: Callable[[int], flask.Response]) -> flask.Response:
        try:
            _ = self._settings
            return self._record(act, self._user())
        except BadRequest as error:
            return refusal(error.status, error.field, str(error))

    @property
    def _settings(self) -> Settings:
        settings = self._settings_of()
        if settings is None:
            raise BadRequest(503, "telemetry", "is off: the application's log says why")
        return settings

    def _user(self) -> int:
        """Return the id of the user who is signed in."""
        try:
            user_id = self._current_user_id()
        except HTTPException:  # the host's own answer to users who are not signed in
            raise
        except Exception as error:
            let_pass(error)
            raise _no_user(f"raised {type(error).__name__}") from None
        if user_id is None:
            raise BadRequest(401, "login", "is needed")
        digits = str(user_id)
        if isinstance(user_id, bool) or not re.fullmatch("[0-9]{1,19}", digits) or int(digits) > MOST_ID:
            raise _no_user(f"returned a {type(user_id).__name__} that is no id of a row of users")
        return int(digits)

    def _record(self, act: Callable[[int], flask.Response], user: int) -> flask.Response:
        try:
            return act(user)
        except BadRequest:
            raise
        except Exception as error:
            let_pass(error)
            # The page does not depend on it, and it is logged.
            flask.current_app.logger.warning("telemetry could not record a warning: %s", type(error).__name__)
            return refusal(503, "database", "cannot be used: try again later")

    def _shown(self, user: int) -> flask.Response:
        fields = _fields({"warning_type", "document_count", "document_size", "limit", "subject"})
        kind = fields.pop("warning_type", None)
        if kind not in self._settings.warning_types:
            raise BadRequest(400, "warning_type", f"must be one of {', '.join(self._settings.warning_types)}")
        limit = _number(fields.pop("limit", None), "limit", MOST_DOCUMENT_BYTES)
        facts = {
            "document_count": _number(fields.get("document_count"), "document_count", MOST_DOCUMENTS),
            "document_size": _number(fields.get("document_size"), "document_size", MOST_DOCUMENT_BYTES),
            "subject": _text(fields.get("subject"), "subject"),
            "additional_data": None if limit is None else {"limit": limit},
        }
        store = self._store()
        from exporters.sql.storage.warning_requests import TooManyWarnings

        try:
            warning_id = store.add(user, kind, **facts)
        except TooManyWarnings as error:
            self._count(kind, c.REFUSED)
            raise BadRequest(429, "warning_type", f"was recorded too often: {error}") from None
        self._count(kind, c.SHOWN)
        return flask.jsonify({"status": "tracked", "warning_id": warning_id})

    def _answered(self, user: int, warning_id: int) -> flask.Response:
        action = _fields({"user_action"}).get("user_action")
        if action not in c.WARNING_ACTIONS:
            raise BadRequest(400, "user_action", f"must be one of {', '.join(c.WARNING_ACTIONS)}")
        answer = self._store().answer(user, warning_id, action) if warning_id < 2**31 else None
        if answer is None:
            raise BadRequest(404, "warning_id", "is of no warning of yours")
        if answer.is_news:
            self._count(answer.warning_type, action)
        return flask.jsonify({"status": "tracked", "warning_id": warning_id})

    def _store(self) -> UserWarnings:
        process = os.getpid()
        if process not in self._stores:
            from exporters.sql.storage.warning_requests import UserWarnings

            self._stores = {process: UserWarnings(self._settings)}
        return self._stores[process]

    @guarded("metrics")
    def _count(self, kind: str, action: str) -> None:
        current = pipeline()
        if current is not None:
            current.warned(kind, action)


def _no_user(reason: str) -> BadRequest:
    """Return the refusal if the application does not say who is signed in, and log what to set."""
    flask.current_app.logger.warning("telemetry cannot record warnings: current_user_id= %s", reason)
    return BadRequest(500, "login", "has no user id that can be used: the application's log says why")


def _flask_login() -> str | None:
    """Return the id of the current user of Flask-Login."""
    if not hasattr(flask.current_app, "login_manager"):
        return None
    from flask_login import current_user  # type: ignore[import-untyped]

    if not current_user.is_authenticated:
        return None
    user_id: str | None = current_user.get_id()
    return user_id


def _fields(known: set[str]) -> dict[str, Any]:
    """Return the fields of the body: a JSON object of at most 4 KB without unknown fields."""
    request = flask.request
    if request.mimetype != "application/json":
        raise BadRequest(415, "Content-Type", "must be application/json")
    if (request.content_length or 0) > MOST_BYTES:
        raise BadRequest(413, "body", f"must be at most {MOST_BYTES} bytes")
    body = request.stream.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise BadRequest(413, "body", f"must be at most {MOST_BYTES} bytes")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(400, "body", "is no JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest(400, "body", "must be a JSON object")
    for name in fields:
        if name not in known:
            raise BadRequest(400, name[:MOST_TEXT], f"is not a field; there are {', '.join(sorted(known))}")
    return fields


def _number(value: Any, field: str, most: int) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= most:
        raise BadRequest(400, field, f"must be a whole number from 0 to {most}")
    return value


def _text(value: Any, field: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or not value.isprintable():
        raise BadRequest(400, field, f"must be a text of 1 to {MOST_TEXT} characters")
    return value
