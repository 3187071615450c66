"""What the spool holds and nobody may deliver: damaged, of another database, or perhaps not written by us.

It is set aside, never deleted, and never stands in the way of the rest.
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
"""What stays where it is, and was said to."""


def read(
    file: Path,
    root: Path,
    target: Target,
    is_ours: Callable[[str], bool] | None = None,
    *,
    is_shielded: bool = False,
) -> Entry | None:
    """Return what is in ``file``; None when it is left to others, or nothing of ours, which is set aside.

    Args:
        file: in the directory of a process.
        root: the spool's folder for this database.
        target: this database.
        is_ours: says whether what another user left goes into the same tables; default: none of it.
        is_shielded: whether nobody else could ever reach the file.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: of ``is_ours``.
    """
    try:
        return read_entry(file, target, is_ours, is_shielded=is_shielded)
    except NewerSnapshot:
        return None
    except ForeignEntry as error:
        log_left(file, f"{error} and left to it")
    except FileNotFoundError:
        _log.error("telemetry misses %s: something removed it from the spool", printable(file))
    except SQLAlchemyError:
        raise
    except (Exception, MemoryError) as error:  # whatever a file can do to its reader
        set_aside(file, root, error)
    return None


def read_entry(
    file: Path,
    target: Target,
    is_ours: Callable[[str], bool] | None = None,
    *,
    is_shielded: bool = False,
) -> Entry:
    """Return the entry in ``file``, whose name says which fragment or event it is of.

    Raises:
        NewerSnapshot: when a newer version wrote it.
        ForeignEntry: when it is for tables of another user.
        ValueError: when it is none, of another database, or of something else than its name says.
        OSError: when it cannot be read, or others may have written it.
    """
    entry = parse_entry(read_text(file, is_shielded=is_shielded), target, is_ours)
    if entry.fragment_id != file.stem:
        raise ValueError("it is a copy of another file")
    return entry


def set_aside(file: Path, root: Path, error: BaseException) -> None:
    """Move ``file`` to where a person will look, under a name of its own, and say why in one line."""
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


def log_left(file: Path, what: str) -> None:
    """Say once that ``file`` is left alone, and why."""
    if file not in _logged:
        _logged.add(file)
        _log.error("telemetry leaves %s where it is: %s", printable(file), what)


def unreadable(root: Path) -> Iterator[Path]:
    """Yield what is set aside below the spool's ``root``."""
    place = root / UNREADABLE
    if is_own_directory(place):
        yield from sorted(place.iterdir())


def printable(what: object) -> str:
    """Return a path, or another text, for one line of a log, whatever somebody put into it."""
    text = str(what)
    return text if text.isprintable() else ascii(text)


def _reason(error: BaseException) -> str:
    text = str(error).partition("\n")[0][:200]
    return f"{printable(text)} ({type(error).__name__})"
