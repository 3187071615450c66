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
    """Whoever looks for a word finds it by the alphabet."""
    words = [word for word, *_ in ROWS]

    assert set(words) >= EXPECTED
    assert words == sorted(set(words))


def test_places_exist() -> None:
    """Each word leads to the code that it stands for."""
    assert [place for *_, place in ROWS if not (ROOT / place).exists()] == []


def test_a_definition_is_a_sentence_or_two() -> None:
    """It can be read in passing."""
    assert [word for word, meaning, _ in ROWS if not re.match(r"[A-Z1].*\.$", meaning)] == []
    assert [word for word, meaning, _ in ROWS if len(re.findall(r"\.(?= |$)", meaning)) > 2] == []
