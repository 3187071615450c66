"""The directories of dead processes in a spool, taken over one by one.

A process keeps the ``lock`` in its directory locked (``lockf``) for as long as it lives. Whoever gets that
lock knows that it is dead, also across namespaces, and may deliver what it left.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from .item import Item, read_item
from .snapshot import NewerSnapshot, Snapshot

LOCK: Final = "lock"
UNREADABLE: Final = "unreadable"

_log = logging.getLogger("telemetry")


@dataclass(frozen=True, slots=True)
class Recovered:
    """The directory of a dead process, taken over."""

    path: Path
    root: Path

    @property
    def process_id(self) -> str:
        """The process that died."""
        return self.path.name

    def items(self) -> Iterator[Item]:
        """Yield what the process left; a fragment that was open is marked interrupted."""
        for file in sorted(self.path.glob("*.json")):
            item = read(file, self.root)
            if isinstance(item, Snapshot) and not item.is_closed:
                item = replace(item, interrupted=True)
            if item is not None:
                yield item

    def delivered(self, item: Item) -> None:
        """Remove what the database has committed."""
        (self.path / f"{item.fragment_id}.json").unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove the directory once nothing is left in it but the lock."""
        if not any(self.path.glob("*.json")):
            shutil.rmtree(self.path, ignore_errors=True)


def read(file: Path, root: Path) -> Item | None:
    """Return what is in ``file``; None when it is a newer version's, or none, which is set aside."""
    try:
        return read_item(file.read_text())
    except NewerSnapshot:
        return None
    except FileNotFoundError:
        _log.error("telemetry misses %s: something removed it from the spool", file)
        return None
    except (ValueError, OSError) as error:
        place = root / UNREADABLE
        place.mkdir(exist_ok=True)
        file.rename(place / file.name)
        _log.error("telemetry set %s aside in %s: %s", file.name, place, error)
        return None


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Hold the lock of a stranger's directory, if its process is dead."""
    try:
        lock_file = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.lockf(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        yield False
    else:
        yield (path / LOCK).exists()
    finally:
        os.close(lock_file)
