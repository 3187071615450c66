"""Files in the spool that are damaged, for another database, or possibly written by another user.

They are set aside, never deleted, and do not keep other files from being delivered.
"""

from __future__ import annotations

import logging
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from exporters.rollup.snapshot import NewerSnapshot

from .entry import Entry, ForeignEntry, Target, parse_entry
from .private import is_own_directory, make_directory, read_text

UNREADABLE: Final = "unreadable"

_log = logging.getLogger("telemetry")
_logged: Final[set[Path]] = set()
"""Files that were logged as left in place, each once."""


def read(
    file: Path,
    root: Path,
    target: Target,
    is_ours: Callable[[str], bool] | None = None,
    *,
    is_shielded: bool = False,
) -> Entry | None:
    """Return the entry in ``file``; None if another process must deliver it, or it is not valid.

    A file that is no valid entry is set aside.

    Args:
        file: a file in the directory of a process.
        root: the folder of this database in the spool.
        target: this database.
        is_ours: returns whether entries of a database user go into the same tables; default: none do.
        is_shielded: whether the directory has always been closed to others; then the mode does not matter.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: from ``is_ours``.
    """
    try:
        return read_entry(file, target, is_ours, is_shielded=is_shielded)
    except NewerSnapshot:
        return None
    except ForeignEntry as error:
        log_left(file, f"{error} and left to it")
    except FileNotFoundError:
        _log.error("telemetry cannot find %s: something removed it from the spool", printable(file))
    except SQLAlchemyError:
        raise
    except (Exception, MemoryError) as error:  # a crafted file may cause any error
        set_aside(file, root, error)
    return None


def read_entry(
    file: Path,
    target: Target,
    is_ours: Callable[[str], bool] | None = None,
    *,
    is_shielded: bool = False,
) -> Entry:
    """Return the entry in ``file``, whose name must be the id of its fragment or event.

    Raises:
        NewerSnapshot: if a newer version wrote it.
        ForeignEntry: if it is for tables of another user.
        ValueError: if it is no valid entry, is for another database, or has another name.
        OSError: if it cannot be read, or others may have written it.
    """
    entry = parse_entry(read_text(file, is_shielded=is_shielded), target, is_ours)
    if entry.fragment_id != file.stem:
        raise ValueError("it is a copy of another file")
    return entry


def set_aside(file: Path, root: Path, error: BaseException) -> None:
    """Move ``file`` to the folder ``unreadable`` below ``root``, and log why in one line."""
    place = root / UNREADABLE
    try:
        make_directory(place)
        target = place / file.name
        if target.is_symlink() or target.exists():
            target = place / f"{file.stem}.{uuid.uuid4().hex[:8]}{file.suffix}"
        file.rename(target)
    except OSError as refused:
        log_left(file, f"not ours, and cannot be set aside ({refused.strerror or refused})")
        return
    with suppress(OSError):
        if stat.S_ISREG(target.lstat().st_mode):
            os.chmod(target, 0o600)
    _log.error("telemetry set %s aside in %s: %s", printable(file), place, _reason(error))


def log_left(file: Path, why: str) -> None:
    """Log, once for each file, why it is left in place."""
    if file not in _logged:
        _logged.add(file)
        _log.error("telemetry leaves %s where it is: %s", printable(file), why)


def unreadable(root: Path) -> Iterator[Path]:
    """Yield the files that are set aside below ``root``, a folder of a database."""
    place = root / UNREADABLE
    if is_own_directory(place):
        yield from sorted(place.iterdir())


def printable(value: object) -> str:
    """Return ``value`` as one line of text for a log; unprintable characters are escaped."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def _reason(error: BaseException) -> str:
    text = str(error).partition("\n")[0][:200]
    return f"{printable(text)} ({type(error).__name__})"
