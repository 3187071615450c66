"""The admin page, with links to the exports that telemetry itself serves."""

from __future__ import annotations

from flask import Blueprint, current_app, render_template
from flask.typing import ResponseReturnValue

from .auth import admin_required

bp = Blueprint("admin", __name__, url_prefix="/admin")

EXPORT = "telemetry_export.export"
"""Endpoint of the exports; it exists while telemetry is on."""
FORMATS = {"csv": "CSV", "json": "JSON"}
PERIODS = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "a year"}
SEGMENTS = {"all": "everybody", "new": "new users", "active": "active users", "power": "power users"}
BATCH_SIZES = {
    "all": "any size",
    "small": "1 to 50 candidates",
    "medium": "51 to 150 candidates",
    "large": "151 candidates and more",
}


@bp.get("/")
@admin_required
def overview() -> ResponseReturnValue:
    return render_template(
        "admin.html",
        export=EXPORT if EXPORT in current_app.view_functions else None,
        formats=FORMATS,
        filters={
            "days": ("Period", PERIODS),
            "segment": ("Users", SEGMENTS),
            "batch_size": ("Size", BATCH_SIZES),
        },
    )
