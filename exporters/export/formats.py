"""File formats of archives: how the rows of a table are written and read back."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, Self

from exporters.sql.database.statements import Row

from . import parquet
from .cells import Kinds, from_text, to_text

LONGEST_CELL: Final = 2**31 - 1


class Writer(Protocol):
    """Writes rows of exact values to a file, which is complete, and still open, when the context ends."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: Any) -> None: ...

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""


@dataclass(frozen=True, slots=True)
class Format:
    """A file format for rows."""

    suffix: str
    writer: Callable[[IO[bytes], Kinds], Writer]
    rows: Callable[[Path, Kinds], Iterator[Row]]
    """Raises ValueError, OSError or EOFError if the file is damaged."""


class CsvWriter:
    """Writes compressed CSV; the same rows give the same bytes."""

    def __init__(self, file: IO[bytes], kinds: Kinds) -> None:
        self._text = io.TextIOWrapper(gzip.GzipFile("", "wb", fileobj=file, mtime=0), "utf-8", newline="")
        self._names = list(kinds)
        self._csv = csv.writer(self._text)
        self._csv.writerow(self._names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._text.close()

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        self._csv.writerows([to_text(row[name]) for name in self._names] for row in rows)


def csv_rows(path: Path, kinds: Kinds) -> Iterator[Row]:
    """Yield the rows of a file written by :class:`CsvWriter`."""
    csv.field_size_limit(LONGEST_CELL)  # the state of a fragment can be longer than the default
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        names = next(lines, [])
        if names != list(kinds):
            raise ValueError(f"{path} has other columns")
        for cells in lines:
            yield _row(kinds, cells)


def _row(kinds: Kinds, cells: list[str]) -> dict[str, Any]:
    return {name: from_text(kinds[name], cell) for name, cell in zip(kinds, cells, strict=True)}


def _parquet_rows(path: Path, _: Kinds) -> Iterator[Row]:
    return parquet.rows_of(path)


FORMATS: Final = {
    "csv": Format("csv.gz", CsvWriter, csv_rows),
    "parquet": Format("parquet", parquet.Writer, _parquet_rows),
}
