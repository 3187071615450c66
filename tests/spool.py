"""Reads the entries of a spool to which processes may be writing."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import parse_entry

ANOTHER_USER = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""A prefix for commands, with which the permissions of directories apply to root, too."""


@contextmanager
def closed(directory: Path) -> Iterator[None]:
    """Remove all permissions of a directory within the block."""
    directory.chmod(0)
    try:
        yield
    finally:
        directory.chmod(0o700)


def waiting(spool: Path) -> list[Path]:
    """Return the files of snapshots and warning events that are not delivered yet."""
    return _matching(spool, "*/*/*.json")


def files(folder: Path) -> list[str]:
    """Return the names of all entries below a folder, those in quarantine included."""
    return sorted(path.name for path in _matching(folder, "**/*.json", with_hidden=True))


def everything(folder: Path) -> dict[str, str]:
    """Return the text of every file below a folder by its path, hidden files included."""
    paths = (path for path in _matching(folder, "**/*", with_hidden=True) if path.is_file())
    return {str(path): _text_of(path, errors="replace") for path in paths}


def snapshots(spool: Path) -> list[Snapshot]:
    """Return the waiting snapshots, except those that are delivered meanwhile."""
    entries = [parse_entry(text) for path in waiting(spool) if (text := _text_of(path))]
    return [entry for entry in entries if isinstance(entry, Snapshot)]


def _matching(folder: Path, pattern: str, *, with_hidden: bool = False) -> list[Path]:
    # Not Path.glob, which fails when a directory is removed meanwhile.
    pattern = f"{glob.escape(str(folder))}/{pattern}"
    return [Path(name) for name in glob.glob(pattern, recursive=True, include_hidden=with_hidden)]


def _text_of(path: Path, errors: str = "strict") -> str:
    try:
        return path.read_text(errors=errors)
    except FileNotFoundError:
        return ""
