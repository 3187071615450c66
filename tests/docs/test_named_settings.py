"""The settings that pages and release notes name are settings there are."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from telemetry.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/*.md")]
SETTINGS = {f"{PREFIX}{entry.name.upper()}" for entry in fields(Settings)}


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_named_settings_exist(page: Path) -> None:
    """A setting that was renamed or removed is gone from every page."""
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", page.read_text()))

    assert named - SETTINGS == set()
