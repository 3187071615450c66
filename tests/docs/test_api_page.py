"""The page of the API: all that is public, as the code has it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from docs.api import MODULES, PAGE, names, page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if path != PAGE)]
SHOWN = re.compile(r"\btelemetry\.(\w+)\(|\bfrom (telemetry[\w.]*) import (\w+)")


def test_the_page_is_up_to_date() -> None:
    """What stands in the repository is what the code says; `make docs` writes it."""
    assert PAGE.read_text() == page(), "run `make docs`"


def test_everything_of_telemetry_is_on_it() -> None:
    """Each name of `telemetry.__all__`, with its methods, and each once."""
    headings = re.findall(r"^#{3,4} `(.*)`$", PAGE.read_text(), re.MULTILINE)

    assert {f"telemetry.{name}" for name in import_module("telemetry").__all__} <= set(headings)
    assert {"RunHandle.link", "RunHandle.carrier", "DocumentBlock.score"} <= set(headings)
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_other_pages_use_is_on_it(path: Path) -> None:
    """Nobody is shown a name that is not public."""
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))
    shown = {(module or "telemetry", name or called) for called, module, name in SHOWN.findall(blocks)}

    assert [each for each in shown if each[0] not in MODULES or each[1] not in names(each[0])] == []
