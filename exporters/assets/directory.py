"""Compare what would be written with what is in a directory, and write it.

A record in the directory has the digest of each file as it was written last. A file with another digest was
edited. It is kept as long as there is no newer version of it, and stops the command when there is one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from telemetry._internal.partial_file import replacing

RECORD: Final = "written.json"
_NO_FILE: Final = "no file"
_ABOUT: Final = "Written by `flask telemetry assets`: the digests of what it wrote last."


class State(StrEnum):
    """What becomes of a file."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    """It is no longer written, and nobody has edited it."""
    EDITED = "edited"
    """It is kept: what would be written is what was written last."""
    KEPT = "kept"
    """It is no longer written, but somebody has edited it."""
    CONFLICTING = "conflicting"
    """It was edited, or is not ours, and what would be written is new."""
    BLOCKED = "blocked"
    """Something else is in its place, such as a folder."""


class Conflict(Exception):
    """Files that are not overwritten, and what to do about them."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What would be written, and what is there."""

    directory: Path
    contents: Mapping[str, str]
    states: Mapping[str, State]
    """The state of each file, by its path in the directory."""
    record: Mapping[str, str]
    """The digests of what was written last."""

    def having(self, state: State) -> list[str]:
        """Return the files in a state."""
        return [name for name, found in self.states.items() if found is state]

    @property
    def is_up_to_date(self) -> bool:
        """Whether everything is there as it would be written, and nothing else of ours."""
        return set(self.states.values()) <= {State.UNCHANGED}


def compare(directory: Path, contents: Mapping[str, str]) -> Comparison:
    """Compare contents with a directory, which need not exist.

    Raises:
        Conflict: if the record cannot be read.
        OSError: if a file cannot be read.
    """
    record = _record(directory)
    states = {
        name: _state(_digest(directory / name), record.get(name), _digest_of(content.encode()))
        for name, content in contents.items()
    }
    for name in record.keys() - contents.keys():
        present = _digest(directory / name)
        if present:
            states[name] = State.REMOVED if present == record[name] else State.KEPT
    return Comparison(directory, contents, dict(sorted(states.items())), record)


def _state(present: str, last: str | None, wanted: str) -> State:
    if not present:
        return State.NEW
    if present == _NO_FILE:
        return State.BLOCKED
    if present == wanted:
        return State.UNCHANGED
    if present == last:
        return State.CHANGED
    return State.EDITED if last == wanted else State.CONFLICTING


def write(comparison: Comparison, *, overwrite: bool = False) -> Comparison:
    """Write what is not there yet, and return what was done.

    No program ever reads half a file. Files take their places when all are written: after an error, such as a
    full disk, everything is as it was before.

    Args:
        comparison: with the directory, which is created.
        overwrite: replace also what was edited.

    Raises:
        Conflict: if a file would be overwritten that was edited, or is not ours; then none is written.
        OSError: if a file cannot be written.
    """
    states = dict(comparison.states)
    if overwrite:
        theirs = (State.EDITED, State.CONFLICTING)
        states = {name: State.CHANGED if state in theirs else state for name, state in states.items()}
    done = Comparison(comparison.directory, comparison.contents, states, comparison.record)
    if occupied := done.having(State.BLOCKED):
        raise Conflict(
            f"nothing is written, for these in {done.directory} are no files: {', '.join(occupied)}; "
            "move them away"
        )
    if conflicting := done.having(State.CONFLICTING):
        names = ", ".join(conflicting)
        raise Conflict(
            f"nothing is written, for files in {done.directory} were edited, or written by others: {names}; "
            "move them away, or replace them with --overwrite"
        )
    with ExitStack() as files:  # its files take their places at the end, the record last
        record = {name: _digest_of(content.encode()) for name, content in sorted(done.contents.items())}
        if record != done.record:
            text = json.dumps({"about": _ABOUT, "files": record}, indent=2)
            _prepare(files, done.directory / RECORD, f"{text}\n")
        for name in [*done.having(State.NEW), *done.having(State.CHANGED)]:
            _prepare(files, done.directory / name, done.contents[name])
        for name in done.having(State.REMOVED):
            _remove(done.directory, name)
    return done


def _record(directory: Path) -> dict[str, str]:
    path = directory / RECORD
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items() if _is_below(str(name))}
    except FileNotFoundError:
        return {}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise Conflict(f"{path} is no record of what was written last: move it away") from None


def _is_below(name: str) -> bool:
    """Return whether a path from a record stays in the directory."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _digest(path: Path) -> str:
    """Return the digest of a file, or an empty string if there is none."""
    if not os.path.lexists(path):
        return ""
    return _digest_of(path.read_bytes()) if path.is_file() else _NO_FILE


def _digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def _prepare(files: ExitStack, path: Path, content: str) -> None:
    """Write a file beside its place, with the mode and, if this user may, the owner of the one there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = files.enter_context(replacing(path))
    file.write(content.encode())
    file.flush()
    with suppress(OSError):  # there is none, or it is of another user
        shutil.copymode(path, file.name)
        shutil.chown(file.name, path.stat().st_uid, path.stat().st_gid)


def _remove(directory: Path, name: str) -> None:
    """Remove a file, and the folders that are empty without it."""
    (directory / name).unlink()
    for folder in (directory / name).parents:
        if folder == directory:
            break
        with suppress(OSError):
            folder.rmdir()
