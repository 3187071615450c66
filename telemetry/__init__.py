"""OpenTelemetry observability for applications that analyse documents with OpenAI.

``import telemetry`` needs only ``opentelemetry-api`` and imports neither Flask nor the SDK.
``docs/reference/api.md`` lists what is public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api.blocks import StageBlock, stage
from .api.documents import DocumentBlock, document
from .api.errors import fail_current_run, record_fallback
from .api.handle import RunHandle
from .api.runs import RunBlock, count, current_run, resume, run, start_run
from .api.warnings import answer_warnings, warn

if TYPE_CHECKING:
    from .setup.process import setup_telemetry, shutdown
    from .web.extension import Telemetry

__all__ = [
    "DocumentBlock",
    "RunBlock",
    "RunHandle",
    "StageBlock",
    "Telemetry",
    "answer_warnings",
    "count",
    "current_run",
    "record_fallback",
    "document",
    "fail_current_run",
    "resume",
    "run",
    "setup_telemetry",
    "shutdown",
    "stage",
    "start_run",
    "warn",
]


def __getattr__(name: str) -> Any:
    """Import names that need Flask or the SDK on first access."""
    if name == "Telemetry":
        try:
            from .web.extension import Telemetry
        except ModuleNotFoundError as error:
            message = f"telemetry.Telemetry needs Flask ({error}): pip install 'analysis-telemetry[flask]'"
            raise ModuleNotFoundError(message, name=error.name) from None
        return Telemetry
    if name in ("setup_telemetry", "shutdown"):
        from .setup import process as setup

        return getattr(setup, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
