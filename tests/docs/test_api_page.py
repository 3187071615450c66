"""The page of the API lists all public names, as in the code."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from docs.api import MODULES, PAGE, names, page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if path != PAGE)]
SHOWN = re.compile(r"\btelemetry\.(\w+)\(|\bfrom (telemetry[\w.]*) import (\w+)")


def test_page_is_up_to_date() -> None:
    """The committed page is what `make docs` writes."""
    assert PAGE.read_text() == page(), "run `make docs`"


def test_page_has_every_public_name_once() -> None:
    """It has each name of `telemetry.__all__`, with its methods."""
    headings = re.findall(r"^#{3,4} `(.*)`$", PAGE.read_text(), re.MULTILINE)

    assert {f"telemetry.{name}" for name in import_module("telemetry").__all__} <= set(headings)
    assert {"RunHandle.link", "RunHandle.carrier", "DocumentBlock.score"} <= set(headings)
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_other_pages_are_public(path: Path) -> None:
    """Examples in the documentation use only names that this page lists."""
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))
    shown = {(module or "telemetry", name or called) for called, module, name in SHOWN.findall(blocks)}

    assert [
        (module, name) for module, name in shown if module not in MODULES or name not in names(module)
    ] == []
