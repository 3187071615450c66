"""Write files atomically: a file appears when it is complete, even if the process ends in the middle."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

LOCK_SECONDS: Final = 1.0
"""How long :func:`block_new_files` waits for a file that is being opened."""

_partial: Final[set[Path]] = set()
_lock: Final = threading.Lock()
"""Held while a file is opened, and for good after :func:`block_new_files`."""


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of ``target`` if the block ends without an exception.

    A symbolic link stays, and the file it leads to is replaced.
    """
    target = Path(os.path.realpath(target))
    temporary = target.with_name(f".{target.name}.new")
    try:
        with _lock:
            # Added before it is opened, because a signal handler may raise an exception in between.
            _partial.add(temporary)
            file = temporary.open("wb")
        with file:
            yield file
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        _partial.discard(temporary)


def block_new_files() -> None:
    """Let no file be opened from now on: :func:`replacing` blocks until the process ends."""
    _lock.acquire(timeout=LOCK_SECONDS)


def remove_partial_files() -> None:
    """Remove the files that are being written; what cannot be removed stays."""
    for path in list(_partial):
        with suppress(OSError):
            path.unlink(missing_ok=True)
