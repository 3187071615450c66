"""`GET /admin/analytics/export/<format>`: download of the jobs, for admins only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any, Final
from zoneinfo import ZoneInfo

import flask

from telemetry._internal.process.signals import let_pass
from telemetry.settings import Settings

from .refusal import refusal

PATH: Final = "/admin/analytics/export/<form>"
TYPES: Final = {
    "csv": "text/csv",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
FIELDS: Final = ("days", "from", "to", "segment", "batch_size", "user", "model")
ALL: Final = "all"
"""What a dashboard passes as user or model if none is chosen."""
LONGEST_DAYS: Final = 36_500
LONGEST_ID: Final = 18
"""Digits of an id that every database can compare."""


class BadField(ValueError):
    """A field of the request is invalid."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def blueprint(
    settings_of: Callable[[], Settings | None], admin_required: Callable[[Any], Any]
) -> flask.Blueprint:
    """Return a blueprint with the view, protected by the application's own ``admin_required``.

    Args:
        settings_of: returns the settings of the application, or None while telemetry is off.
        admin_required: decorator that lets admins through.
    """
    views = flask.Blueprint("telemetry_export", __name__)

    def export(form: str) -> flask.Response:
        settings = settings_of()
        if settings is None:
            return refusal(503, "telemetry", "is off: the application's log says why")
        try:
            selection = _selection(flask.request.args, settings.timezone)
            if form not in TYPES:
                return refusal(404, "format", f"must be one of {', '.join(TYPES)}")
            return _download(settings, form, selection)
        except BadField as error:
            return refusal(400, error.field, str(error))

    views.add_url_rule(PATH, "export", admin_required(export))
    return views


def _download(settings: Settings, form: str, selection: Mapping[str, Any]) -> flask.Response:
    from exporters.export.jobs import Export
    from exporters.export.selection import BadSelection

    try:
        jobs = Export(settings.database_url, settings.cache_seconds, **selection)
    except BadSelection as error:
        return refusal(400, error.field, error.reason)
    except ValueError as error:
        return refusal(503, "database", f"cannot be used: {error}")
    pieces: Iterator[bytes] = jobs.pieces(form)
    try:
        first = next(pieces, b"")  # reports an unreachable database before anything is sent
    except ImportError as error:  # an extra that is not installed
        return refusal(501, "format", f"cannot be made: {error}")
    except Exception as error:
        let_pass(error)
        return refusal(503, "database", f"cannot be read ({type(error).__name__}): try again later")
    name = f"analyses-{datetime.now(ZoneInfo(settings.timezone)):%Y-%m-%d}.{form}"
    response = flask.Response(chain((first,), pieces), mimetype=TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    response.call_on_close(lambda: jobs.__exit__())
    return response


def _selection(fields: Mapping[str, str], zone: str) -> dict[str, Any]:
    for name in fields:
        if name not in FIELDS:
            raise BadField(name, f"is not a field; there are {', '.join(FIELDS)}")
    since, until = _moment(fields, "from"), _moment(fields, "to")
    if "days" in fields:
        if since is not None:
            raise BadField("days", "excludes from")
        since = _days_ago(fields["days"], zone)
    selection: dict[str, Any] = {"since": since, "until": until, "user": _user(fields)}
    if fields.get("model", ALL) != ALL:
        selection["model"] = fields["model"]
    return selection | {name: fields[name] for name in ("segment", "batch_size") if name in fields}


def _user(fields: Mapping[str, str]) -> int | None:
    value = fields.get("user", ALL)
    if value == ALL:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > LONGEST_ID:
        raise BadField("user", "must be the id of a user, or all")
    return int(value)


def _days_ago(value: str, zone: str) -> datetime:
    """Return the start of the last ``value`` days, today included."""
    digits = value.lstrip("0")[:9]  # Python refuses numbers of thousands of digits
    if not value.isascii() or not value.isdigit() or not 1 <= int(digits or 0) <= LONGEST_DAYS:
        raise BadField("days", f"must be a whole number from 1 to {LONGEST_DAYS}")
    first: date = datetime.now(ZoneInfo(zone)).date() - timedelta(days=int(digits) - 1)
    return datetime.combine(first, time(), ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)


def _moment(fields: Mapping[str, str], name: str) -> datetime | None:
    """Return a moment given in milliseconds since 1970, as Grafana does."""
    if name not in fields:
        return None
    try:
        moment = datetime.fromtimestamp(int(fields[name]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadField(name, "must be milliseconds since 1970") from None
    return moment.replace(tzinfo=None)
