"""The directory of this process in the spool, locked for as long as the process lives."""

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
"""How often the lock is touched."""


class OwnDirectory:
    """A directory that is made, and locked, once something needs it. For one thread at a time."""

    def __init__(self, root: Path, process_id: str) -> None:
        """Make nothing yet.

        Args:
            root: the spool's folder for this database.
            process_id: the name of the directory in it.
        """
        self.path: Path | None = None
        """Where it is; None until it is made, and after :meth:`leave`."""
        self._root = root
        self._process_id = process_id
        self._lock_file: int | None = None
        self._touch_at = 0.0

    def make(self) -> Path:
        """Return the directory, made and locked at the first call.

        Raises:
            OSError: when the disk does not let us.
        """
        if self.path is None:
            if self._root.parent == default_spool_dir():  # where anybody may have made it
                make_directory(self._root.parent)
            make_directory(self._root)
            hidden = self._root / f".{self._process_id}"
            make_directory(hidden)  # there, when the last attempt failed here
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
        """Return where the snapshot of a fragment is.

        Raises:
            OSError: as :meth:`make` does.
        """
        return self.make() / f"{fragment_id}.json"

    def remove(self, fragment_id: str) -> None:
        """Remove the snapshot of a fragment, if it is there."""
        if self.path is not None:
            (self.path / f"{fragment_id}.json").unlink(missing_ok=True)

    def touch(self) -> None:
        """Let a cleaner of old files see that the lock is in use."""
        now = time.monotonic()
        if self._lock_file is not None and now >= self._touch_at:
            self._touch_at = now + TOUCH_SECONDS
            with suppress(OSError):
                os.utime(self._lock_file)

    def leave(self) -> None:
        """Give the lock up; the next :meth:`make` makes the directory again."""
        if self._lock_file is not None:
            os.close(self._lock_file)
        held_locks.discard(self._process_id)
        self.path, self._lock_file = None, None

    def after_fork(self) -> None:
        """Close the copy of the parent's lock in a forked child, which does not release it."""
        if self._lock_file is not None:
            os.close(self._lock_file)
