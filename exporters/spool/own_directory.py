"""The directory of this process in the spool, which is locked while the process lives."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from telemetry.settings import default_spool_dir

from .private import make_directory
from .takeover import LOCK, held_locks

TOUCH_SECONDS: Final = 3600.0
"""Seconds between two updates of the time of the lock file."""


class OwnDirectory:
    """A directory that is created and locked at its first use. Not safe from several threads."""

    def __init__(self, root: Path, process_id: str) -> None:
        """Prepare; :meth:`make` creates the directory.

        Args:
            root: the folder of this database in the spool.
            process_id: the name of the directory.
        """
        self.path: Path | None = None
        """Path of the directory; None while there is none."""
        self._root = root
        self._process_id = process_id
        self._lock_file: int | None = None
        self._touch_at = 0.0

    def make(self) -> Path:
        """Return the directory; create and lock it if there is none.

        Raises:
            OSError: if it cannot be created.
        """
        if self.path is None:
            if self._root.parent == default_spool_dir():  # where any user may have created it
                make_directory(self._root.parent)
            make_directory(self._root)
            hidden = self._root / f".{self._process_id}"
            make_directory(hidden)  # it exists if the last attempt failed below
            lock_file = os.open(hidden / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.fchmod(lock_file, 0o600)  # whatever the umask
                fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held_locks.add(self._process_id)
                self.path = hidden.rename(self._root / self._process_id)
            except OSError:
                os.close(lock_file)
                raise
            self._lock_file = lock_file
        return self.path

    def file(self, fragment_id: str) -> Path:
        """Return the path of the file of a fragment.

        Raises:
            OSError: as :meth:`make` does.
        """
        return self.make() / f"{fragment_id}.json"

    def remove(self, fragment_id: str) -> None:
        """Remove the file of a fragment, if there is one."""
        if self.path is not None:
            (self.path / f"{fragment_id}.json").unlink(missing_ok=True)

    def touch(self) -> None:
        """Update the time of the lock file, so that cleaners of old files keep it."""
        now = time.monotonic()
        if self._lock_file is not None and now >= self._touch_at:
            self._touch_at = now + TOUCH_SECONDS
            with suppress(OSError):
                os.utime(self._lock_file)

    def leave(self) -> None:
        """Release the lock; the next :meth:`make` creates the directory anew."""
        if self._lock_file is not None:
            os.close(self._lock_file)
        held_locks.discard(self._process_id)
        self.path, self._lock_file = None, None

    def after_fork(self) -> None:
        """Close the lock file in a forked child; the parent keeps its lock."""
        if self._lock_file is not None:
            os.close(self._lock_file)
