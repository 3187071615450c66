"""Files and directories that are ours: nobody else can have put them there, read or changed them.

Ours means: owned by the user of this process, writable by nobody else, and no link. Nothing here waits, or
follows, whatever stands in the place of a file: a FIFO, a device, a link, a directory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077
_WRITABLE_BY_OTHERS: Final = 0o022
MOST_BYTES: Final = 64 * 1024 * 1024
"""More than any snapshot has, and less than would harm the process that reads it."""
_NOT_FOLLOWED: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotOursError(PermissionError):
    """Somebody else may have made or changed it; the text says what is wrong, and the way out."""


def make_directory(path: Path) -> None:
    """Make ``path``, and what is missing above it, for this user alone; narrow one that is there.

    Raises:
        NotOursError: when it is a link, or belongs to another user.
        OSError: when the disk does not let us.
    """
    make_parents(path)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        narrow(path)
    else:
        path.chmod(0o700)  # whatever the umask


def make_parents(path: Path) -> None:
    """Make the directories above ``path`` that are missing for this user alone; others stay as they are."""
    for parent in reversed([each for each in path.absolute().parents if not each.exists()]):
        try:
            parent.mkdir(0o700)
        except FileExistsError:  # another process was faster
            continue
        parent.chmod(0o700)


def narrow(path: Path) -> None:
    """Close a directory of ours to others.

    Raises:
        NotOursError: when it is a link, or belongs to another user.
        OSError: when it is none, or is not there.
    """
    if path.is_symlink():
        raise NotOursError(f"{path} is a link: remove it, or name the place that it leads to")
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOT_FOLLOWED)
    try:
        found = os.fstat(directory)
        if found.st_uid != os.geteuid():
            raise NotOursError(f"{path} belongs to another user (uid {found.st_uid})")
        if found.st_mode & _OTHERS:
            os.fchmod(directory, 0o700)
    finally:
        os.close(directory)


def is_own_directory(path: Path) -> bool:
    """Say whether ``path`` is a directory, no link, of this user, who may look into it and write to it."""
    return not why_not_own(path)


def why_not_own(path: Path) -> str:
    """Return what is in the way of that, in a few words; empty when nothing is."""
    try:
        found = path.lstat()
    except OSError as error:
        return error.strerror or type(error).__name__
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if found.st_uid != os.geteuid():
        return f"it belongs to another user (uid {found.st_uid})"
    if not os.access(path, os.R_OK | os.X_OK):
        return f"it cannot be looked into (mode {stat.S_IMODE(found.st_mode):04o})"
    if os.access(path, os.W_OK):
        return ""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    return f"it is closed to writing (mode {stat.S_IMODE(found.st_mode):04o})"


def open_own(path: Path, flags: int, *, is_shielded: bool = False) -> int:
    """Open a file of ours that is there.

    Args:
        path: of the file.
        flags: as for :func:`os.open`.
        is_shielded: whether its directory has always kept others out, so that they cannot have changed it.

    Raises:
        NotOursError: when it is something else, or others may have changed it.
        OSError: when it cannot be opened.
    """
    try:
        file = os.open(path, flags | _NOT_FOLLOWED, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR):
            raise NotOursError("it is no regular file") from None
        raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise NotOursError("it is no regular file")
        if found.st_uid != os.geteuid():
            raise NotOursError(f"it belongs to another user (uid {found.st_uid})")
        if found.st_mode & _WRITABLE_BY_OTHERS and not is_shielded:
            raise NotOursError(f"others may write to it (mode {stat.S_IMODE(found.st_mode):04o})")
    except BaseException:
        os.close(file)
        raise
    return file


def read_text(path: Path, *, is_shielded: bool = False) -> str:
    """Return the text of a file of ours.

    Raises:
        NotOursError: as :func:`open_own` does.
        ValueError: when it is no UTF-8, or too large.
        OSError: when it cannot be read.
    """
    with open(open_own(path, os.O_RDONLY, is_shielded=is_shielded), "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has over {MOST_BYTES:,} bytes")
    return content.decode()


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old content or the new one, never a part.

    Raises:
        OSError: when the disk does not let us.
    """
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOT_FOLLOWED
    try:
        file = os.open(temporary, flags, 0o600)
    except FileExistsError:  # of a process that was killed meanwhile, or of nobody's
        temporary.unlink()
        file = os.open(temporary, flags, 0o600)
    with open(file, "wb", buffering=0) as opened:
        os.fchmod(file, 0o600)  # whatever the umask
        left = memoryview(text.encode())
        while left:
            left = left[opened.write(left) :]
    temporary.replace(path)
