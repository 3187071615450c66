"""The directories of dead processes in a spool, taken over one by one.

A process keeps the ``lock`` in its directory locked (``lockf``) for as long as it lives. Whoever gets that
lock knows that it is dead, also across namespaces, and may deliver what it left. A cleaner of old files may
have taken the lock: then the age of what is there tells.
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
"""After so long without a change a directory without a lock is a dead process's."""

_RESERVED: Final = frozenset({DEAD, UNREADABLE})
_PROCESS: Final = re.compile(r"[0-9a-f]{32}")

held_locks: Final[set[str]] = set()
"""Names of the directories that this very process holds.

Their locks are not opened again: to close any descriptor of the file would let go of the lock.
"""
os.register_at_fork(after_in_child=held_locks.clear)  # a child holds none of its parent's

_log = logging.getLogger("telemetry")
_logged: Final[set[Path]] = set()
"""Directories of which it was said that they cannot be looked into."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """The directory of a dead process, taken over."""

    path: Path
    root: Path
    """The spool's folder for this database."""
    target: Target
    """This database."""
    is_old: bool = False
    """Whether an earlier version left it, whose entries do not say which database they are for."""
    is_ambiguous: bool = False
    """Whether that version may have kept what is for other databases in the same folder."""

    @property
    def process_id(self) -> str:
        """The process that died."""
        return self.path.name

    def entries(self, is_ours: Callable[[str], bool] | None = None) -> Iterator[Entry]:
        """Yield what the process left; what was open of it is marked interrupted.

        Args:
            is_ours: says whether what another user left goes into the same tables; default: none of it.
        """
        is_shielded = self.is_old and self._is_closed()
        for file in sorted(self.path.glob("*.json")):
            entry = read(file, self.root, self.target, is_ours, is_shielded=is_shielded)
            if isinstance(entry, Snapshot) and entry.is_under_way:
                entry = replace(entry, interrupted=True)
            if entry is not None:
                yield entry

    def _is_closed(self) -> bool:
        """Say whether nobody else may enter: then the modes of files, by the umask then, say nothing."""
        return not self.path.lstat().st_mode & 0o077

    def leave(self, entry: Entry) -> None:
        """Log that an entry stays: it names no database, and this one does not know its run."""
        log_left(
            self.path / f"{entry.fragment_id}.json",
            f"it may be for another database; if not, move {self.process_id} to {self.root}",
        )

    def delivered(self, entry: Entry) -> None:
        """Remove what the database has committed."""
        (self.path / f"{entry.fragment_id}.json").unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove the directory once nothing is left in it but the lock."""
        if not any(self.path.glob("*.json")):
            shutil.rmtree(self.path, ignore_errors=True)
            if self.is_old:
                with suppress(OSError):  # others are still there
                    self.path.parent.rmdir()


@contextmanager
def locked_if_dead(path: Path) -> Iterator[bool]:
    """Hold the lock of a stranger's directory, if its process is dead and we may."""
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
        there = sorted(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        log_foreign(root, error)
        return
    for path in there:
        if path == own or path.name in _RESERVED or path.name[0] == ".":
            continue
        if path.is_symlink():
            log_foreign(path, NotOursError("it is a link"))
        elif path.is_dir() and _PROCESS.fullmatch(path.name):
            yield path


def is_foreign(path: Path) -> bool:
    """Say whether a directory is not this user's own, or closed to it."""
    return os.path.lexists(path) and not is_own_directory(path)


def _lock(path: Path) -> int | None:
    """Return the lock of a directory as an open file; None when it is not to be had now."""
    if is_foreign(path) and path.exists():
        log_foreign(path, NotOursError(why_not_own(path)))
        return None
    try:
        return _try_to_lock(path / LOCK, os.O_CREAT if _has_lost_its_lock(path) else 0)
    except FileNotFoundError:
        return None
    except OSError as error:
        log_foreign(path, error)
        return None


def _has_lost_its_lock(path: Path) -> bool:
    """Say whether something has tidied the lock away of a process that has not been heard of since.

    One that was taken over a moment ago is about to go: it may be without its lock, too.
    """
    if os.path.lexists(path / LOCK):
        return False
    newest = max(each.lstat().st_mtime for each in (path, *path.iterdir()))
    return time.time() - newest > QUIET_SECONDS


def _try_to_lock(path: Path, flags: int) -> int | None:
    lock_file = open_own(path, os.O_RDWR | flags)
    try:
        fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():  # else somebody else took the directory over, and removed it
            return lock_file
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # these say that its process lives
            os.close(lock_file)
            raise
    os.close(lock_file)
    return None


def log_foreign(path: Path, error: OSError) -> None:
    """Say once of a directory that it cannot be looked into, and what to do about it."""
    if path not in _logged:
        _logged.add(path)
        _log.error(
            "telemetry cannot look into %s and leaves it alone (%s): run all processes as the same user,"
            " or chown it",
            printable(path),
            error.strerror or error,
        )
