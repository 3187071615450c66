"""Text formats of exported jobs: CSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Final

from exporters.sql.database.statements import Row

_FORMULA_STARTS: Final = frozenset("=+-@|%\N{MINUS SIGN}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}")
"""What begins a formula, or a command to another program, in one spreadsheet or another."""
_SKIPPED: Final = frozenset("ZCM")
"""First letters of the Unicode categories that may go unseen: separators, controls and formats, marks."""


def as_csv(rows: Iterable[Row], names: Iterable[str]) -> Iterator[str]:
    """Yield lines of CSV, in which no spreadsheet finds a formula."""
    line = _Line()
    writer = csv.DictWriter(line, list(names), extrasaction="raise")
    writer.writeheader()
    rows = iter(rows)
    first = list(islice(rows, 1))  # before the header: if the query fails, nothing is written
    yield line.text
    for row in chain(first, rows):
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield line.text


def as_json(rows: Iterable[Row], _: Iterable[str]) -> Iterator[str]:
    """Yield a JSON array, row by row."""
    before = "["
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "]\n" if before != "[" else "[]\n"


def as_json_lines(rows: Iterable[Row], _: Iterable[str]) -> Iterator[str]:
    """Yield a JSON object a line for each row."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


FORMATS: Final[dict[str, Callable[[Iterable[Row], Iterable[str]], Iterator[str]]]] = {
    "csv": as_csv,
    "json": as_json,
    "jsonl": as_json_lines,
}


class _Line:
    """A file for the CSV writer that keeps the last line."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def _cell(value: Any) -> Any:
    """Return a value as a cell; text that looks like a formula gets an apostrophe in front."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _is_formula(value):
        return f"'{value}"
    return value


def _is_formula(text: str) -> bool:
    """Return whether a spreadsheet may take ``text`` for a formula.

    Before spreadsheets look at the first character, they normalise full-width characters and skip invisible
    ones and white space. So does this.
    """
    if not text or (text[0].isalnum() and text[0].isascii()):  # nearly all cells
        return False
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.category(character)[0] not in _SKIPPED:
            return character in _FORMULA_STARTS
    return False
