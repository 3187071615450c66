"""Passages that use metrics and columns: queries of panels, rules, SQL, code in documents, our own modules.

What is read counts, not what is written: a command that fills a column does not use it. Ordinary words are no
use either: a column is used by a passage that names its table, too.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .page import MARK
from .python_source import Reader, words

TEXTS: Final = (".yaml", ".yml", ".rules", ".sql", ".promql", ".jsonnet", ".libsonnet", ".tf", ".toml")
"""Files that are read as they are, but for their comments."""
TEMPLATES: Final = (".html", ".jinja", ".jinja2", ".j2")
SUFFIXES: Final = (".json", ".md", ".py", *TEXTS, *TEMPLATES)
PASSED_OVER: Final = frozenset({"node_modules", "__pycache__", "site-packages"})
"""Directories; those whose names begin with a dot, too."""
PROSE: Final = frozenset({"title", "description"})
"""What a panel says of itself to people."""

_COMMENT: Final = re.compile(r"^\s*(?:#|--|//).*$", re.MULTILINE)
_CODE: Final = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_EXPRESSION: Final = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_STAR: Final = re.compile(r"(?:\bSELECT|,)\s+(?:\w+\.)?\*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text in which names that stand together belong together."""

    source: str
    words: frozenset[str]
    """Names, whole and by their parts: ``analysis.runs``, ``analysis`` and ``runs``."""
    takes_all: bool = False
    """Whether it reads all columns of the tables that it names."""
    whole: frozenset[str] = frozenset()
    """Tables of which it reads rows as a whole; what of them is used, the items of rows tell."""
    items: frozenset[str] = frozenset()
    """Items of rows that it uses, wherever they were read."""
    is_host: bool = False
    """Whether it is the application's own code: its items may be columns of its own tables."""


def passage(source: str, text: str) -> Passage:
    """Return a text as a passage."""
    return Passage(source, frozenset(words(text)), bool(_STAR.search(text)))


def passages(path: Path, tables: Mapping[str, str] | None = None) -> Iterator[Passage]:
    """Yield the passages of a file.

    Args:
        path: of the file; what is of no known kind is read as it is.
        tables: of our own code: names of tables, by the names they have there. Without them, Python and
            templates are the host's.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith(MARK):
        return
    source = os.path.relpath(path)
    if path.suffix == ".py":
        yield _code(source, text, tables)
    elif path.suffix == ".md":
        yield passage(source, "\n".join(_CODE.findall(text)))
    elif path.suffix in TEMPLATES:
        told = "\n".join(_EXPRESSION.findall(text))
        yield Passage(source, frozenset(), items=frozenset(words(told)), is_host=True)
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


def _code(source: str, text: str, tables: Mapping[str, str] | None) -> Passage:
    try:
        module = ast.parse(text)
    except SyntaxError:
        return passage(source, text)
    reader = Reader(tables or {}, takes_objects=tables is None)
    reader.visit(module)
    return Passage(
        source,
        frozenset(reader.words),
        whole=frozenset(reader.whole),
        items=frozenset(reader.items),
        is_host=tables is None,
    )
