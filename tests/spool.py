"""What waits for the database, of living and of dead processes, which go on meanwhile."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import parse_entry

ANOTHER_USER = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Before a command: what is closed is closed to it, as it is not to root."""


@contextmanager
def closed(directory: Path) -> Iterator[None]:
    """A directory that only its owner may look into, and that :data:`ANOTHER_USER` does not own."""
    directory.chmod(0)
    try:
        yield
    finally:
        directory.chmod(0o700)


def waiting(spool: Path) -> list[Path]:
    """The files of snapshots, and of events about warnings, that no database has taken."""
    return _matching(spool, "*/*/*.json")


def files(folder: Path) -> list[str]:
    """The names of what waits anywhere below a folder, or is set aside there."""
    return sorted(path.name for path in _matching(folder, "**/*.json", with_hidden=True))


def everything(folder: Path) -> dict[str, str]:
    """The text of every file below a folder, by its path; hidden ones included."""
    found = (path for path in _matching(folder, "**/*", with_hidden=True) if path.is_file())
    return {str(path): _text_of(path, errors="replace") for path in found}


def snapshots(spool: Path) -> list[Snapshot]:
    """What those snapshots say; one that was delivered meanwhile is left out."""
    items = [parse_entry(text) for path in waiting(spool) if (text := _text_of(path))]
    return [item for item in items if isinstance(item, Snapshot)]


def _matching(folder: Path, pattern: str, *, with_hidden: bool = False) -> list[Path]:
    # Not Path.glob, which fails when a directory goes meanwhile.
    pattern = f"{glob.escape(str(folder))}/{pattern}"
    return [Path(found) for found in glob.glob(pattern, recursive=True, include_hidden=with_hidden)]


def _text_of(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(errors=errors)
    except FileNotFoundError:
        return ""
