"""The page on the Collector names what its configuration has."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "collector.md").read_text()
FILES = sorted((ROOT / "collector").rglob("*.yaml"))


def test_settings() -> None:
    """Every variable of the configuration is in the table, with its default, and no other is."""
    rows = re.findall(r"^\| (`COLLECTOR_\w+`(?:, `COLLECTOR_\w+`)*) \| (.*?) \|", PAGE, re.MULTILINE)
    described = {
        name: default
        for names, defaults in rows
        for name, default in zip(
            re.findall(r"`(\w+)`", names), re.findall(r"`([^`]+)`", defaults), strict=True
        )
    }
    used = re.findall(r"\$\{env:(COLLECTOR_\w+):-([^}]*)\}", "".join(file.read_text() for file in FILES))

    assert len(used) > 20
    assert described == dict(used)
    assert len(set(used)) == len(dict(used)), "a variable has one default"


def test_files() -> None:
    """Every file is named on the page, and every one that the page names exists."""
    named = set(re.findall(r"[`/]([\w-]+\.yaml)`?", PAGE)) - {"manifest.yaml"}

    assert named == {file.name for file in FILES}
