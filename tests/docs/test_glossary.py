"""The glossary defines each word once, and names places that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| `([^|`]+)` \|$",
    (ROOT / "docs/reference/glossary.md").read_text(),
    re.MULTILINE,
)
EXPECTED = {
    *("run", "fragment", "snapshot", "spool", "projection", "rollup", "stage", "attempt", "headroom"),
    *("quarantine", "takeover", "claim", "deferral", "lagging", "host", "intake", "subject", "kind"),
    *("cell", "entry", "pico-dollar"),
}


def test_words_are_sorted_and_defined_once() -> None:
    """The order is alphabetical."""
    words = [word for word, *_ in ROWS]

    assert set(words) >= EXPECTED
    assert words == sorted(set(words))


def test_places_exist() -> None:
    """The path in the last column of each word exists."""
    assert [place for *_, place in ROWS if not (ROOT / place).exists()] == []


def test_definitions_have_one_or_two_sentences() -> None:
    """They begin with a capital letter and end with a period."""
    assert [word for word, meaning, _ in ROWS if not re.match(r"[A-Z1].*\.$", meaning)] == []
    assert [word for word, meaning, _ in ROWS if len(re.findall(r"\.(?= |$)", meaning)) > 2] == []
