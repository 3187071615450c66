"""One colour for one thing in all panels."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import FieldColor, Panel
from grafana_foundation_sdk.models.dashboard import FieldColorModeId

from grafana.parts.panels import Column
from telemetry import conventions as c
from telemetry.conventions import Stage

STAGES: Final = {
    name: Column(color=color)
    for name, color in {
        Stage.CRITERIA: "purple",
        Stage.NAMING: "light-purple",
        Stage.EXTRACTION: "blue",
        Stage.EMBEDDING: "light-blue",
        Stage.SIMILARITY: "green",
        Stage.RANKING: "orange",
        Stage.INSIGHTS: "yellow",
        Stage.DB_WRITE: "light-green",
        Stage.UNATTRIBUTED: "text",
        c.OTHER: "text",
    }.items()
}
ERROR_TYPES: Final = {
    name: Column(color=color)
    for name, color in {
        "openai.RateLimitError": "orange",
        "openai.APITimeoutError": "yellow",
        "openai.APIConnectionError": "blue",
        "openai.InternalServerError": "red",
        "openai.BadRequestError": "purple",
        "openai.AuthenticationError": "dark-red",
        "ValueError": "light-blue",
        "UnreadableDocument": "light-purple",
        c.OTHER: "text",
    }.items()
}
"""The errors that are met most; others get a colour by their place."""
REFUSALS: Final = {
    name: Column(color=color)
    for name, color in {
        c.TOO_FAST: "orange",
        c.QUOTA_USED_UP: "dark-red",
        c.SPEND_LIMIT_REACHED: "semi-dark-red",
        "400": "purple",
        "401": "dark-purple",
        "403": "semi-dark-purple",
        "404": "light-purple",
        "408": "light-yellow",
        "409": "super-light-purple",
        "422": "super-light-yellow",
        "500": "red",
        "502": "light-red",
        "503": "super-light-red",
        "504": "super-light-orange",
        "timeout": "yellow",
        "connection_error": "blue",
        "read_error": "light-blue",
        "cancelled": "text",
    }.items()
}
"""What a request to OpenAI ends with but for 200; what is also a type of error has its colour."""
STATUSES: Final = {
    name: Column(color=color)
    for name, color in {
        c.COMPLETED: "green",
        c.PARTIAL_FAILURE: "yellow",
        c.FAILED: "red",
        c.INTERRUPTED: "dark-red",
        c.CANCELLED: "text",
        c.RUNNING: "blue",
        c.UNKNOWN: "light-blue",
    }.items()
}


def in_reds(panel: Panel) -> Panel:
    """Return a chart of failures: Grafana's own colours would begin with green."""
    return panel.color_scheme(FieldColor().mode(FieldColorModeId.SHADES).fixed_color("red"))
