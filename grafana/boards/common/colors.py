"""One colour for one thing in all panels."""

from __future__ import annotations

from typing import Final

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
        c.OTHER: "text",
    }.items()
}
"""The errors that are met most; others get a colour by their place."""
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
