"""Each way to be billed unseen has a test, or is marked as impossible to detect."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "status.md").read_text()
TABLE = PAGE.partition("### What may have been billed unseen")[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in TABLE.splitlines() if line[:1] == "|"
][2:]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_way_names_an_existing_test(row: list[str]) -> None:
    """The tests are named by file and function."""
    _, mark, shown = row
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", shown)
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert named or mark.startswith("Nothing can")


def test_table_is_found() -> None:
    """It has its rows; else the test above would check nothing."""
    assert len(ROWS) > 30
