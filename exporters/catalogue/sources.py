"""Find the passages that name metrics and columns: queries of panels, rules, SQL, and code in Markdown.

This is a search for words. As column names may be ordinary words, a passage counts only if it names the
table, too.
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
"""Files that are searched as plain text, without comments."""
SUFFIXES: Final = (".json", ".md", *TEXTS)
SKIPPED: Final = frozenset({"node_modules", "__pycache__", "site-packages"})
"""Directories that are skipped, besides those whose names begin with a dot."""
PROSE: Final = frozenset({"title", "description"})
"""Keys of a panel whose texts are no queries."""

_WORD: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_COMMENT: Final = re.compile(r"^\s*(?:#|--|//).*$", re.MULTILINE)
_CODE: Final = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_STAR: Final = re.compile(r"(?:\bSELECT|,)\s+(?:\w+\.)?\*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text, such as a query, in which a column belongs to a table that is named with it."""

    source: str
    words: frozenset[str]
    """Names, whole and split at dots: ``analysis.runs``, ``analysis`` and ``runs``."""
    takes_all: bool = False
    """Whether it reads all columns of the tables that it names."""


def words(text: str) -> Iterator[str]:
    """Yield the names in a text, whole and split at dots: ``run.status``, ``run`` and ``status``."""
    for word in _WORD.findall(text):
        yield word
        if "." in word:
            yield from word.split(".")


def passage(source: str, text: str) -> Passage:
    """Return the passage of a text."""
    return Passage(source, frozenset(words(text)), bool(_STAR.search(text)))


def passages(path: Path) -> Iterator[Passage]:
    """Yield the passages of a file; one of an unknown type is searched as plain text."""
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
    """Yield the files to search: those in ``paths``, and those in its directories."""
    for path in paths:
        if path.is_dir():
            for directory, names, file_names in os.walk(path):
                names[:] = sorted(name for name in names if not _is_skipped(name))
                yield from (Path(directory, name) for name in sorted(file_names) if name.endswith(SUFFIXES))
        else:
            yield path


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in SKIPPED


def _json(source: str, text: str) -> Iterator[Passage]:
    """Yield each text in a dashboard as a passage: a query is one text."""
    try:
        dashboard = json.loads(text)
    except ValueError:
        yield passage(source, text)
        return
    yield from (passage(source, query) for query in _texts(dashboard))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in PROSE:
                yield from _texts(item)
