"""The page of the API: all that is public, as the code has it."""

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


def test_the_page_is_up_to_date() -> None:
    """What stands in the repository is what the code says; `make docs` writes it."""
    assert PAGE.read_text() == page(), "run `make docs`"


def test_everything_of_telemetry_is_on_it() -> None:
    """Each name of `telemetry.__all__`, with its methods, and each once."""
    headings = re.findall(r"^#{3,4} `(.*)`$", PAGE.read_text(), re.MULTILINE)

    assert {f"telemetry.{name}" for name in import_module("telemetry").__all__} <= set(headings)
    assert {"RunHandle.link", "RunHandle.carrier", "DocumentBlock.score"} <= set(headings)
    assert len(headings) == len(set(headings))


def test_what_is_public() -> None:
    """These names and no others: what is added is a promise, and hooks for tests of our own are none."""
    public = {module: set(names(module)) for module in MODULES}

    assert public == PUBLIC
    hidden = {"synthetic_run", "raise_internal_errors", "standing_in", "open_run", "spans"}
    assert not any(hidden & found for found in public.values())
    assert not [name for name in hidden if hasattr(telemetry, name)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_other_pages_use_is_on_it(path: Path) -> None:
    """Nobody is shown a name that is not public."""
    blocks = "\n".join(re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL))
    shown = {(module or "telemetry", name or called) for called, module, name in SHOWN.findall(blocks)}

    assert [each for each in shown if each[0] not in MODULES or each[1] not in names(each[0])] == []
