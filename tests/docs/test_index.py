"""The index leads to every page once, under a reader, and every page says for whom it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
LISTED_BY_THEMSELVES = ("decisions", "runbooks")
"""Folders whose pages are in their own index."""
PAGES = sorted(
    path
    for path in DOCS.rglob("*.md")
    if path.parent.name not in LISTED_BY_THEMSELVES and path.parent != DOCS
)
CATALOGUE = DOCS / "reference" / "catalogue.md"
"""It begins with a mark for its generator, and is for everyone who looks something up."""
INDEX = (DOCS / "README.md").read_text()


def test_every_page_has_one_row() -> None:
    """A page that two readers need stands under the one who needs it most."""
    rows = re.findall(r"^\| \[[^]]+\]\(([^)#]+)\) \| .+ \|$", INDEX, re.MULTILINE)
    expected = [str(path.relative_to(DOCS)) for path in PAGES]
    indexes = [f"{folder}/README.md" for folder in LISTED_BY_THEMSELVES]

    assert sorted(rows) == sorted([*expected, *indexes, "reference/openapi.yaml"])


@pytest.mark.parametrize("page", [page for page in PAGES if page != CATALOGUE], ids=lambda page: page.stem)
def test_a_page_says_for_whom_it_is(page: Path) -> None:
    """Its first sentence names the readers, so that others can leave at once."""
    first = re.search(r"^# .+\n\n(.+)$", page.read_text(), re.MULTILINE)

    assert first and first[1].startswith("For ")
