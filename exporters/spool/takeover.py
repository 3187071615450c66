"""Takeover: a living process delivers what a dead one left in its directory.

A process keeps the ``lock`` in its directory locked (``lockf``) while it lives. A process that gets this lock
knows that the other is dead, even in another container, and may deliver its entries. If a
cleaner of old files removed the lock, the process counts as dead once nothing has changed for an hour.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from exporters.rollup.snapshot import Snapshot

from .entry import Entry, Target
from .private import NotOursError, is_own_directory, open_own, why_not_own
from .quarantine import DEAD
from .unreadable import UNREADABLE, log_left, printable, read

LOCK: Final = "lock"
QUIET_SECONDS: Final = 3600.0
"""Time without a change after which a directory without a lock belongs to a dead process."""

_RESERVED: Final = frozenset({DEAD, UNREADABLE})
_PROCESS: Final = re.compile(r"[0-9a-f]{32}")

held_locks: Final[set[str]] = set()
"""Names of the directories whose locks this process holds.

Such a lock file is not opened again: closing any descriptor of the file would release the lock.
"""
os.register_at_fork(after_in_child=held_locks.clear)  # a child does not hold the locks of its parent

_log = logging.getLogger("telemetry")
_logged: Final[set[Path]] = set()
"""Paths that were logged as not accessible, each once."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """The locked directory of a dead process, whose entries are to be delivered."""

    path: Path
    root: Path
    """The folder of this database in the spool."""
    target: Target
    """This database."""
    is_old: bool = False
    """Whether it is from an earlier version, whose entries do not name their database."""
    is_ambiguous: bool = False
    """Whether that version may have kept entries for other databases in the same folder."""

    @property
    def process_id(self) -> str:
        """Id of the dead process."""
        return self.path.name

    def entries(self, is_ours: Callable[[str], bool] | None = None) -> Iterator[Entry]:
        """Yield the entries of the process; fragments that were open are marked as interrupted.

        Args:
            is_ours: returns whether entries of a database user go into the same tables; default: none do.
        """
        is_shielded = self.is_old and self._is_closed()
        for file in sorted(self.path.glob("*.json")):
            entry = read(file, self.root, self.target, is_ours, is_shielded=is_shielded)
            if isinstance(entry, Snapshot) and entry.is_under_way:
                entry = replace(entry, interrupted=True)
            if entry is not None:
                yield entry

    def _is_closed(self) -> bool:
        """Return whether others cannot enter; then the modes of its files, set by a umask, do not matter."""
        return not self.path.lstat().st_mode & 0o077

    def leave(self, entry: Entry) -> None:
        """Log that an entry is left in place: it names no database, and this one does not know its run."""
        log_left(
            self.path / f"{entry.fragment_id}.json",
            f"it may be for another database; if not, move {self.process_id} to {self.root}",
        )

    def delivered(self, entry: Entry) -> None:
        """Remove an entry that the database has committed."""
        (self.path / f"{entry.fragment_id}.json").unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove the directory if no entry is left."""
        if not any(self.path.glob("*.json")):
            shutil.rmtree(self.path, ignore_errors=True)
            if self.is_old:
                with suppress(OSError):  # not empty
                    self.path.parent.rmdir()


@contextmanager
def locked_if_dead(path: Path) -> Iterator[bool]:
    """Lock the directory ``path`` within the block if its process is dead; yield whether it is locked."""
    lock_file = None if path.name in held_locks else _lock(path)
    if lock_file is None:
        yield False
        return
    held_locks.add(path.name)
    try:
        yield True
    finally:
        held_locks.discard(path.name)
        os.close(lock_file)


def directories_in(root: Path, own: Path | None) -> Iterator[Path]:
    """Yield the directories of other processes in ``root``, the folder of a database; ``own`` is left out."""
    if is_foreign(root):
        log_foreign(root, NotOursError(why_not_own(root)))
        return
    try:
        paths = sorted(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        log_foreign(root, error)
        return
    for path in paths:
        if path == own or path.name in _RESERVED or path.name[0] == ".":
            continue
        if path.is_symlink():
            log_foreign(path, NotOursError("it is a link"))
        elif path.is_dir() and _PROCESS.fullmatch(path.name):
            yield path


def is_foreign(path: Path) -> bool:
    """Return whether ``path`` exists and is not a directory that this user owns and may use."""
    return os.path.lexists(path) and not is_own_directory(path)


def _lock(path: Path) -> int | None:
    """Return the open lock file of a directory, locked; None if that is not possible now."""
    if is_foreign(path) and path.exists():
        log_foreign(path, NotOursError(why_not_own(path)))
        return None
    try:
        return _try_to_lock(path / LOCK, os.O_CREAT if _has_lost_lock(path) else 0)
    except FileNotFoundError:
        return None
    except OSError as error:
        log_foreign(path, error)
        return None


def _has_lost_lock(path: Path) -> bool:
    """Return whether the lock file is missing and nothing in the directory has changed for long.

    A directory that has just changed may lack its lock because a takeover is removing it.
    """
    if os.path.lexists(path / LOCK):
        return False
    newest = max(file.lstat().st_mtime for file in (path, *path.iterdir()))
    return time.time() - newest > QUIET_SECONDS


def _try_to_lock(path: Path, flags: int) -> int | None:
    lock_file = open_own(path, os.O_RDWR | flags)
    try:
        fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():  # otherwise another process has taken it over and removed it
            return lock_file
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # these mean that its process lives
            os.close(lock_file)
            raise
    os.close(lock_file)
    return None


def log_foreign(path: Path, error: OSError) -> None:
    """Log, once for each path, that it cannot be accessed and what to do about it."""
    if path not in _logged:
        _logged.add(path)
        _log.error(
            "telemetry cannot access %s and ignores it (%s): run all processes as the same user, or chown it",
            printable(path),
            error.strerror or error,
        )
