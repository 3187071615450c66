"""Passages that name metrics and columns: queries of panels, rules, SQL, and code in documents.

It is a search for words. Ordinary words are no use: a column is used by a passage that names its table, too.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .page import MARK

TEXTS: Final = (".yaml", ".yml", ".rules", ".sql", ".promql", ".jsonnet", ".libsonnet", ".tf", ".toml")
"""Files that are read as they are, but for their comments."""
SUFFIXES: Final = (".json", ".md", *TEXTS)
PASSED_OVER: Final = frozenset({"node_modules", "__pycache__", "site-packages"})
"""Directories; those whose names begin with a dot, too."""
PROSE: Final = frozenset({"title", "description"})
"""What a panel says of itself to people."""

_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_COMMENT: Final = re.compile(r"^\s*(?:#|--|//).*$", re.MULTILINE)
_CODE: Final = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_STAR: Final = re.compile(r"(?:\bSELECT|,)\s+(?:\w+\.)?\*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text in which names that stand together belong together."""

    source: str
    words: frozenset[str]
    """Names, whole and by their parts: ``analysis.runs``, ``analysis`` and ``runs``."""
    takes_all: bool = False
    """Whether it reads all columns of the tables that it names."""


def words(text: str) -> Iterator[str]:
    """Yield the names in a text, whole and by their parts: ``run.status``, ``run`` and ``status``."""
    for word in _WORD.findall(text):
        yield word
        if "." in word:
            yield from word.split(".")


def passage(source: str, text: str) -> Passage:
    """Return a text as a passage."""
    return Passage(source, frozenset(words(text)), bool(_STAR.search(text)))


def passages(path: Path) -> Iterator[Passage]:
    """Yield the passages of a file; what is of no known kind is read as it is."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith(MARK):
        return
    source = os.path.relpath(path)
    if path.suffix == ".md":
        yield passage(source, "\n".join(_CODE.findall(text)))
    elif path.suffix == ".json":
        yield from _json(source, text)
    else:
        yield passage(source, _COMMENT.sub("", text))


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that may hold passages: those named, and those in the directories named."""
    for path in paths:
        if path.is_dir():
            for directory, names, found in os.walk(path):
                names[:] = sorted(name for name in names if not _is_passed_over(name))
                yield from (Path(directory, name) for name in sorted(found) if name.endswith(SUFFIXES))
        else:
            yield path


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name in PASSED_OVER


def _json(source: str, text: str) -> Iterator[Passage]:
    """Yield each text of a dashboard: a query is one."""
    try:
        found = json.loads(text)
    except ValueError:
        yield passage(source, text)
        return
    yield from (passage(source, each) for each in _texts(found))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name not in PROSE:
                yield from _texts(each)
