"""The table of settings in the README, made from the class that reads them: `make docs` rewrites it."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from telemetry import settings
from telemetry.settings import PREFIX, Settings

README = Path(__file__).parents[1] / "README.md"
PLACE = re.compile(r"(<!-- settings table -->\n).*?(<!-- end of settings table -->)", re.DOTALL)
DEFAULTS = {"spool_dir": "`analysis-telemetry-<uid>` in the temporary directory"}
"""Defaults that differ from machine to machine."""


def table() -> str:
    """Return all settings as a Markdown table: variable, default, and the sentence under the field."""
    sentences = _sentences()
    rows = [
        f"| `{PREFIX}{entry.name.upper()}` | {_default(entry)} | {sentences[entry.name]} |"
        for entry in fields(Settings)
    ]
    return "\n".join(["| variable | default | |", "|---|---|---|", *rows, ""])


def fill_in(readme: str) -> str:
    """Return the text of the README with the present table in its place."""
    return PLACE.sub(lambda found: found[1] + "\n" + table() + "\n" + found[2], readme)


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
    README.write_text(fill_in(README.read_text()))
