"""Rows as Parquet, written in row groups: memory does not grow with the number of rows.

Times carry the time zone UTC, decimals stay decimals, and every column may be NULL. It needs the extra
`parquet`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from datetime import UTC
from pathlib import Path
from typing import IO, Any, Final, Self

import sqlalchemy as sa

from exporters.sql.database.statements import Row

from .cells import Kinds

GROUP: Final = 10_000
"""Rows of one row group."""


class NoParquet(ImportError, ValueError):
    """The extra is not installed."""

    def __init__(self, error: ImportError) -> None:
        super().__init__(f"Parquet needs analysis-telemetry[parquet] ({error})")


class Writer:
    """Writes rows of exact values to a binary file, which need not be seekable."""

    def __init__(self, file: IO[bytes] | io.RawIOBase, kinds: Kinds) -> None:
        """Begin the file.

        Raises:
            NoParquet: if the extra is not installed.
        """
        self._arrow, self._parquet = libraries()
        self._schema = self._arrow.schema([(name, _type(self._arrow, kind)) for name, kind in kinds.items()])
        self._times = [name for name, kind in kinds.items() if isinstance(kind, sa.DateTime)]
        self._writer = self._parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows; a row group is written when it is full."""
        for row in rows:
            self._waiting.append(self._aware(row))
            if len(self._waiting) >= GROUP:
                self._write_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        if kind is None and self._waiting:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        self._writer.write_batch(self._arrow.RecordBatch.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []

    def _aware(self, row: Row) -> dict[str, Any]:
        times = {name: row[name].replace(tzinfo=UTC) for name in self._times if row[name] is not None}
        return {**row, **times}


def pieces(kinds: Kinds, chunks: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces, one for each chunk of rows and one for its end; most are empty.

    Raises:
        NoParquet: if the extra is not installed.
    """
    outbox = _Outbox()
    with Writer(outbox, kinds) as writer:
        for rows in chunks:
            writer.write(rows)
            yield outbox.take()
    yield outbox.take()


class _Outbox(io.RawIOBase):
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Keep ``data``."""
        self._written += data
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = bytes(self._written)
        self._written.clear()
        return taken


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a file; times are naive UTC.

    Raises:
        NoParquet: if the extra is not installed.
        ValueError, OSError: if the file is damaged.
    """
    _, parquet = libraries()
    with parquet.ParquetFile(path) as file:
        times = [field.name for field in file.schema_arrow if str(field.type).startswith("timestamp")]
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                yield {**row, **{name: row[name] and row[name].replace(tzinfo=None) for name in times}}


def libraries() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises:
        NoParquet: if the extra is not installed.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise NoParquet(error) from None
    return pyarrow, pyarrow.parquet


def _type(arrow: Any, kind: Any) -> Any:
    if isinstance(kind, sa.Boolean):
        return arrow.bool_()
    if isinstance(kind, sa.Integer):
        return arrow.int64() if isinstance(kind, sa.BigInteger) else arrow.int32()
    if isinstance(kind, sa.Float) or (isinstance(kind, sa.Numeric) and not kind.asdecimal):
        return arrow.float64()
    if isinstance(kind, sa.Numeric):
        return arrow.decimal128(kind.precision, kind.scale)
    if isinstance(kind, sa.DateTime):
        return arrow.timestamp("us", tz="UTC")
    return arrow.date32() if isinstance(kind, sa.Date) else arrow.string()
