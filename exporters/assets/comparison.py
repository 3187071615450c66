"""What becomes of each file in a directory, by what is there, what was written last, and what would be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from . import record

_NO_FILE: Final = "no file"
_MOST_NAMED: Final = 5
"""Files that a message names before it counts the rest."""


class State(StrEnum):
    """What becomes of a file."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    """It is no longer written, and nobody has edited it."""
    EDITED = "edited"
    """It is kept: what would be written is what was written last."""
    DELETED = "deleted"
    """Somebody has deleted it; it is not written again."""
    KEPT = "kept"
    """It is no longer written, but somebody has edited it."""
    OVERWRITTEN = "overwritten"
    """It was edited, or is not ours, and is replaced on request; a copy is kept."""
    CONFLICTING = "conflicting"
    """It was edited, or is not ours, and what would be written is new."""
    BLOCKED = "blocked"
    """Something else is in its place, such as a folder."""


_ON_REQUEST: Final = {
    State.EDITED: State.OVERWRITTEN,
    State.CONFLICTING: State.OVERWRITTEN,
    State.DELETED: State.NEW,
}
_OBSTACLES: Final = {
    State.CONFLICTING: ("edited, or written by others", "replace with --overwrite FILE, which keeps a copy"),
    State.BLOCKED: ("not a file", "move away, and use --overwrite FILE"),
}
"""The states in which nothing is written: the reason, and what to do."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What would be written, and what is there."""

    directory: Path
    contents: Mapping[str, str]
    states: Mapping[str, State]
    """The state of each file, by its path in the directory."""
    last: Mapping[str, str]
    """The digests of what was written last."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """The paths of the copies of what was overwritten."""

    def having(self, *states: State) -> list[str]:
        """Return the files in one of these states."""
        return [name for name, found in self.states.items() if found in states]

    @property
    def is_up_to_date(self) -> bool:
        """Whether everything is as it would be written, or deleted, and there is nothing else of ours."""
        return set(self.states.values()) <= {State.UNCHANGED, State.DELETED}

    @property
    def obstacles(self) -> str:
        """Why nothing can be written, and what to do; empty if there is no reason."""
        return "; ".join(
            f"{reason}: {_listed(names)} ({remedy})"
            for state, (reason, remedy) in _OBSTACLES.items()
            if (names := self.having(state))
        )

    def overwriting(self, patterns: Collection[str]) -> Comparison:
        """Return what becomes of the files if those that match are written whatever was done to them.

        Args:
            patterns: paths in the directory, or below it, which may contain wildcards.

        Raises:
            LookupError: if there is no such file; the argument is the pattern.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            path = pattern.removeprefix(f"{self.directory}/")
            matching = {name for name in self.states if fnmatchcase(name, path)}
            if not matching:
                raise LookupError(pattern)
            chosen |= matching
        return replace(
            self,
            states={
                name: _ON_REQUEST.get(state, state) if name in chosen else state
                for name, state in self.states.items()
            },
        )


def compare(directory: Path, contents: Mapping[str, str]) -> Comparison:
    """Compare contents with a directory, which need not exist.

    A record that cannot be used counts as a file of somebody else.

    Raises:
        OSError: if a file cannot be read.
    """
    states: dict[str, State] = {}
    last: dict[str, str] = {}
    try:
        last = record.read(directory)
    except IsADirectoryError:
        states[record.NAME] = State.BLOCKED
    except ValueError:
        states[record.NAME] = State.CONFLICTING
    wanted = record.of(contents)
    for name, digest in wanted.items():
        states[name] = _state(_digest(directory / name), last.get(name), digest)
    for name in last.keys() - wanted.keys():
        present = _digest(directory / name)
        if present:
            states[name] = State.REMOVED if present == last[name] else State.KEPT
    return Comparison(directory, contents, dict(sorted(states.items())), last)


def _state(present: str, last: str | None, wanted: str) -> State:
    if not present:
        return State.DELETED if last else State.NEW
    if present == _NO_FILE:
        return State.BLOCKED
    if present == wanted:
        return State.UNCHANGED
    if present == last:
        return State.CHANGED
    return State.EDITED if last == wanted else State.CONFLICTING


def _digest(path: Path) -> str:
    """Return the digest of a file, or an empty string if there is none.

    Raises:
        OSError: if that cannot be known, such as in a folder that this user may not enter.
    """
    try:
        path.lstat()
    except FileNotFoundError:
        return ""
    return record.digest(path.read_bytes()) if path.is_file() else _NO_FILE


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_NAMED])} and {more} more"
