"""Write files to a directory, and keep what somebody else has done there.

A file that was edited is kept as long as there is no newer version of it, and stops the command when there
is one; :mod:`.comparison` says what becomes of which. What is overwritten on request is copied first.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from telemetry._internal.partial_file import replacing

from . import record
from .comparison import Comparison, State

_COPY: Final = ".orig"
"""No program that reads the directory reads files with such a suffix."""


def write(comparison: Comparison) -> Comparison:
    """Write what is not there yet, and return what was done.

    No program ever reads half a file. Files take their places when all are written: after an error, such as a
    full disk, everything is as it was before.

    Args:
        comparison: with the directory, which is created, and without obstacles.

    Raises:
        ValueError: if there are obstacles.
        OSError: if a file cannot be written.
    """
    directory = comparison.directory
    if comparison.obstacles:
        raise ValueError(comparison.obstacles)
    overwritten = comparison.having(State.OVERWRITTEN)
    copies = {name: _place_of_copy(directory, name) for name in overwritten}
    written = record.of(comparison.contents)
    with ExitStack() as files:  # its files take their places at the end, the first one last
        if written != comparison.last:
            _prepare(files, directory / record.NAME, record.text(written).encode())
        for name in comparison.having(State.NEW, State.CHANGED, State.OVERWRITTEN):
            if name != record.NAME:
                _prepare(files, directory / name, comparison.contents[name].encode())
        for name, copy in copies.items():
            _prepare(files, directory / copy, (directory / name).read_bytes(), like=directory / name)
        for name in comparison.having(State.REMOVED):
            _remove(directory, name)
    return replace(comparison, copies=copies)


def _place_of_copy(directory: Path, name: str) -> str:
    """Return where a file is copied to, beside it: an earlier copy stays."""
    names = (f"{name}{_COPY}{number if number > 1 else ''}" for number in count(1))
    return next(free for free in names if not os.path.lexists(directory / free))


def _prepare(files: ExitStack, path: Path, content: bytes, like: Path | None = None) -> None:
    """Write a file beside its place, with the mode and, if this user may, the owner of the one there.

    Args:
        files: what puts the file in its place when it is closed.
        path: its place.
        content: of the file.
        like: the file with the mode and the owner, if it is another one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = files.enter_context(replacing(path))
    file.write(content)
    file.flush()
    with suppress(OSError):  # there is none, or it is of another user
        shutil.copymode(like or path, file.name)
        shutil.chown(file.name, (like or path).stat().st_uid, (like or path).stat().st_gid)


def _remove(directory: Path, name: str) -> None:
    """Remove a file, and the folders that are empty without it."""
    (directory / name).unlink()
    for folder in (directory / name).parents:
        if folder == directory:
            break
        with suppress(OSError):
            folder.rmdir()
