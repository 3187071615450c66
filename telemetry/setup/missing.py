"""How to install a library, or our own package, that is missing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_EXTRAS: Final = {
    "opentelemetry.exporter.prometheus": "prometheus",
    "prometheus_client": "prometheus",
    "sqlalchemy": "sql",
    "alembic": "sql",
    "cachetools": "sql",
}
"""Extras by the prefix of the modules they install, if it is not the extra ``sdk``."""


def remedy(error: ImportError) -> str:
    """Return how to install what is missing; empty if the text of the error has it already."""
    if "pip install" in str(error):
        return ""
    module = error.name or ""
    if module.partition(".")[0] == "exporters":
        return _remedy_without_exporters()
    extra = next((extra for start, extra in _EXTRAS.items() if module.startswith(start)), "sdk")
    return f"; pip install 'analysis-telemetry[{extra}]'"


def _remedy_without_exporters() -> str:
    """Return why our package ``exporters`` is not found: another one precedes it, or it is missing."""
    spec = find_spec("exporters")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        return "; pip install --force-reinstall analysis-telemetry"
    return f"; {folders[0]} is found before the package of analysis-telemetry: rename it"
