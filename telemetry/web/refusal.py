"""The JSON answer to a request that cannot be served."""

from __future__ import annotations

import flask


def refusal(status: int, field: str, reason: str) -> flask.Response:
    """Return an answer with ``status`` that names the field and the reason."""
    response = flask.jsonify({"error": f"{field} {reason}", "field": field})
    response.status_code = status
    return response
