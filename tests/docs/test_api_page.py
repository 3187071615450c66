"""The page of the API lists all public names, as in the code."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import telemetry
from docs.api import MODULES, PAGE, names, page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if path != PAGE)]
PUBLIC = {
    "telemetry": {
        *("run", "start_run", "resume", "current_run", "fail_current_run", "stage", "document", "count"),
        *("record_fallback", "warn", "answer_warnings", "setup_telemetry", "shutdown", "Telemetry"),
        *("RunBlock", "RunHandle", "StageBlock", "DocumentBlock"),
    },
    "telemetry.testing": {"telemetry_rollups", "telemetry_errors_raise", "recording"},
    "telemetry.settings": {"Settings", "SettingsError"},
    "telemetry.setup": {"attach", "instrument", "pipeline"},
    "telemetry.openai": {"instrument", "uninstrument"},
    "telemetry.setup.sampling": {"record_all"},
    "telemetry.pricing": {
        *("Price", "Tokens", "Rates", "Prices", "PriceFile", "default_pricer", "read_price_file"),
        "to_dollars",
    },
}
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


def test_what_is_public() -> None:
    """These names and no others: what is added is a promise, and hooks for tests of our own are none."""
    public = {module: set(names(module)) for module in MODULES}

    assert public == PUBLIC
    hidden = {"synthetic_run", "raise_internal_errors", "replace_pipeline", "open_run", "spans"}
    assert not any(hidden & found for found in public.values())
    assert not [name for name in hidden if hasattr(telemetry, name)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_in_other_pages_are_public(path: Path) -> None:
    """Examples in the documentation use only names that this page lists."""
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))
    shown = {(module or "telemetry", name or called) for called, module, name in SHOWN.findall(blocks)}

    assert [
        (module, name) for module, name in shown if module not in MODULES or name not in names(module)
    ] == []
