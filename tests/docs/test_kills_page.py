"""The page on killed components names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "kills.md").read_text()


def test_every_row_names_tests() -> None:
    """Each promise is kept by one, and every test of kills keeps one."""
    rows = re.findall(r"^\| .+ \| .+ \| .+ \| (`test.+`) \|$", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    folder = ROOT / "tests" / "end_to_end"
    defined = {
        name
        for file in folder.glob("*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    ours = re.findall(r"^def (test_\w+)", (folder / "test_components_killed.py").read_text(), re.M)

    assert len(rows) == PAGE.count("\n| ") - 1
    assert {*ours} <= named <= defined
