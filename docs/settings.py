"""Write docs/reference/settings.md from the class that reads the settings; `make docs` runs it."""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from telemetry import settings
from telemetry.settings import PREFIX, Settings

PAGE = Path(__file__).parent / "reference" / "settings.md"
HEAD = """# Settings

For operators: every setting, with its default and its meaning.

Telemetry reads settings once, when it starts: from the environment, and in Flask also from `app.config`.
A wrong setting never stops the application: telemetry switches itself off and logs one line that says why.
Traces and metrics are exported by the standard `OTEL_*` variables. `make docs` writes this page from
`telemetry/settings.py`.
"""
DEFAULTS = {"spool_dir": "`analysis-telemetry-<uid>` in the temporary directory"}
"""Defaults that depend on the machine."""


def page() -> str:
    """Return the page: all settings with default, and the sentence under the field."""
    sentences = _sentences()
    rows = [
        f"| `{PREFIX}{entry.name.upper()}` | {_default(entry)} | {sentences[entry.name]} |"
        for entry in fields(Settings)
    ]
    return "\n".join([HEAD, "| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _sentences() -> dict[str, str]:
    """Return the docstring below each field."""
    source = ast.parse(inspect.getsource(settings))
    body = next(
        node.body for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    found = {}
    for entry, following in zip(body, body[1:], strict=False):
        if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
            assert isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant), (
                entry.target.id
            )
            found[entry.target.id] = " ".join(str(following.value.value).split()).replace("``", "`")
    return found


def _default(entry: Any) -> str:
    if entry.name in DEFAULTS:
        return DEFAULTS[entry.name]
    value = entry.default if entry.default is not MISSING else entry.default_factory()
    if value in (None, "", ()):
        return "–"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
