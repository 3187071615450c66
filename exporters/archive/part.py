"""One part of an archive: a directory with a file for each table, and a manifest that describes them.

It is written under a hidden name, and renamed once all of it is on the disk:

    .NAME.new        being written, or removed; it can be deleted without loss
    .NAME.complete   complete and verified; its rows are being deleted from the tables
    NAME             contains exactly the rows that were deleted
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4
from zlib import error as BrokenStream

import sqlalchemy as sa

from exporters.export.cells import kinds_of
from exporters.export.formats import FORMATS
from exporters.sql.database.statements import Row

from .contents import CONTENTS, Contents, Digests, Key, add_digest, key_of

MANIFEST: Final = "manifest.json"
SUMMED: Final = ("cost_pico", "repriced_pico", "input_tokens", "output_tokens", "calls", "api_calls")
"""Columns whose sums are in the manifest."""
Pieces = Iterable[tuple[sa.Table, list[Row]]]


class ArchiveError(ValueError):
    """An archive cannot be written, or is damaged; the message names the file and the remedy."""


_UNDER_WAY: Final = re.compile(
    rf"\.({'|'.join(CONTENTS)})-\d{{4}}-\d\d-\d\d-[0-9a-f]{{8}}\.(?P<state>new|complete)"
)
"""Matches the hidden names of parts; other names in the directory are left alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part, by its place and its contents."""

    directory: Path
    name: str
    contents: Contents
    form: str
    """One of the names of :data:`FORMATS`."""
    database: str
    """Identifies the database of its rows."""

    @property
    def begun(self) -> Path:
        """Its path while it is written."""
        return self.directory / f".{self.name}.new"

    @property
    def complete(self) -> Path:
        """Its path while its rows are deleted."""
        return self.directory / f".{self.name}.complete"

    @property
    def final(self) -> Path:
        """Its path in the end."""
        return self.directory / self.name

    def write(self, pieces: Pieces) -> None:
        """Write rows, in any order of tables, and sync them to the disk."""
        self.begun.mkdir()
        tables = self._write_files(pieces)
        about = {"archive": self.name, "contents": self.contents.name, "format": self.form}
        text = json.dumps({**about, "database": self.database, "tables": tables}, indent=2)
        with (self.begun / MANIFEST).open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        sync(self.begun)

    def read_back(self, folder: Path) -> Digests:
        """Read all files of a directory, compare them with its manifest, and return the digests of the rows.

        Raises:
            ArchiveError: if a file does not match the manifest.
        """
        digests: Digests = {}
        try:
            expected = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["tables"]
            for table in self.contents.tables:
                if self._about(folder, table, digests) != expected[table.name]:
                    raise ValueError(f"{self._file(table)} does not match the manifest")
        except (ValueError, KeyError, OSError, EOFError, BrokenStream) as error:
            raise ArchiveError(
                f"{folder} is damaged ({error}): bring it back from a backup, then repeat the command"
            ) from error
        return digests

    def finish(self, digests: Digests, kept: Set[Key]) -> None:
        """Reduce the part to the keys in ``kept``, and give it its final name."""
        if kept == digests.keys():
            rename(self.complete, self.final)
            return
        if kept:
            self.write(self._only(kept))
            if self.read_back(self.begun) != {key: digests[key] for key in kept}:
                raise ArchiveError(f"{self.begun} was not written correctly: repeat the command")
            rename(self.begun, self.final)
        self.remove()

    def remove(self) -> None:
        """Remove the part under its hidden names: its rows are in the tables, or in the final directory."""
        if self.begun.exists():
            shutil.rmtree(self.begun)
        if self.complete.exists():
            rename(self.complete, self.begun)  # so that a complete part never lacks files
            shutil.rmtree(self.begun)

    def _write_files(self, pieces: Pieces) -> dict[str, Any]:
        paths = {table.name: self.begun / self._file(table) for table in self.contents.tables}
        sums = {name: _Sums() for name in paths}
        with ExitStack() as stack:
            files = {name: stack.enter_context(path.open("wb")) for name, path in paths.items()}
            self._write_rows(files, pieces, sums)
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        return {name: sums[name].manifest(path) for name, path in paths.items()}

    def _write_rows(self, files: Mapping[str, IO[bytes]], pieces: Pieces, sums: Mapping[str, _Sums]) -> None:
        form = FORMATS[self.form]
        with ExitStack() as stack:
            writers = {
                table.name: stack.enter_context(form.writer(files[table.name], kinds_of(table)))
                for table in self.contents.tables
            }
            for table, rows in pieces:
                writers[table.name].write(rows)
                sums[table.name].add(rows)

    def _about(self, folder: Path, table: sa.Table, digests: Digests) -> dict[str, Any]:
        """Return the manifest entry of a table, computed from its file, and add its rows to ``digests``."""
        path, sums = folder / self._file(table), _Sums()
        for row in FORMATS[self.form].rows(path, kinds_of(table)):
            add_digest(digests, self.contents, table, row)
            sums.add([row])
        return sums.manifest(path)

    def _only(self, kept: Set[Key]) -> Iterator[tuple[sa.Table, list[Row]]]:
        for table in self.contents.tables:
            path = self.complete / self._file(table)
            for row in FORMATS[self.form].rows(path, kinds_of(table)):
                if key_of(self.contents, row) in kept:
                    yield table, [row]

    def _file(self, table: sa.Table) -> str:
        return f"{table.name}.{FORMATS[self.form].suffix}"


class _Sums:
    """Sums over the rows of one file."""

    def __init__(self) -> None:
        self._rows = 0
        self._sums: Counter[str] = Counter()

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows += 1
            for name in SUMMED:
                if row.get(name) is not None:
                    self._sums[name] += row[name]

    def manifest(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return {"file": path.name, "rows": self._rows, **self._sums, "sha256": checksum}


def new_name(contents: Contents, first: date) -> str:
    """Return a new name for a part whose oldest rows are of the day ``first``."""
    return f"{contents.name}-{first}-{uuid4().hex[:8]}"


def complete(directory: Path) -> list[Path]:
    """Return the complete parts, whose rows may not all be deleted from the tables yet."""
    return [path for path, state in _under_way(directory) if state == "complete"]


def unfinished(directory: Path, database: str) -> Iterator[Part]:
    """Yield the complete parts, whose rows may not all be deleted yet; remove those that are not complete.

    Raises:
        ArchiveError: if a part is of another database, or its manifest is damaged.
    """
    for path, state in _under_way(directory):
        if state == "new":
            shutil.rmtree(path)
    for path in complete(directory):
        part = _part(path, database)
        if part.final.exists():
            part.remove()
        else:
            yield part


def _under_way(directory: Path) -> list[tuple[Path, str]]:
    """Return the hidden directories of parts, each with its state."""
    matches = ((path, _UNDER_WAY.fullmatch(path.name)) for path in sorted(directory.glob(".*")))
    return [
        (path, name["state"]) for path, name in matches if name and path.is_dir() and not path.is_symlink()
    ]


def _part(path: Path, database: str) -> Part:
    """Return the part in a complete directory, by its manifest."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        of, contents, form = manifest["database"], CONTENTS[manifest["contents"]], manifest["format"]
        if form not in FORMATS:
            raise ValueError(f"there is no format {form}")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArchiveError(
            f"{path / MANIFEST} is damaged ({type(error).__name__}: {error}): bring it back from a backup, "
            "then repeat the command; rows of this part may be nowhere else"
        ) from error
    if of != database:
        raise ArchiveError(
            f"{path} was begun for another database: finish it with that database's URL, "
            "or archive this one to another directory"
        )
    return Part(path.parent, path.name.removeprefix(".").removesuffix(".complete"), contents, form, database)


def rename(old: Path, new: Path) -> None:
    """Rename a directory durably."""
    os.rename(old, new)
    sync(new.parent)


def sync(directory: Path) -> None:
    """Sync the names in a directory to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
