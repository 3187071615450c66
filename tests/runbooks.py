"""The runbooks, and the blocks of queries and commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "docs" / "runbooks"
INDEX: Final = FOLDER / "README.md"
PAGES: Final = sorted(path for path in FOLDER.glob("*.md") if path != INDEX)
LANGUAGES: Final = {"promql", "sql", "console"}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and content of each block of a page."""
    return _blocks(page.read_text())


def _blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)


def diagnosis(page: Path) -> list[tuple[str, str]]:
    """Return language and content of each block under Diagnosis."""
    part = re.split(r"^## .+$", page.read_text(), flags=re.M)[3]
    return _blocks(part)


def _of(language: str) -> Iterator[tuple[str, str]]:
    for page in (INDEX, *PAGES):
        for found, content in blocks(page):
            if found == language:
                yield page.stem, content


def expressions() -> list[tuple[str, str]]:
    """Return page and text of each expression of PromQL: an empty line is between two of a block."""
    return [(page, each.strip()) for page, content in _of("promql") for each in content.split("\n\n")]


def statements() -> list[tuple[str, str]]:
    """Return page and text of each statement of SQL."""
    return [
        (page, each.strip()) for page, content in _of("sql") for each in content.split(";") if each.strip()
    ]


def commands() -> list[tuple[str, str]]:
    """Return page and text of each command."""
    return [
        (page, each) for page, content in _of("console") for each in re.findall(r"^\$ (.+)$", content, re.M)
    ]
