"""Private files and directories, which no other user can have created, read or changed.

Private means: owned by the user of this process, writable by nobody else, and not a link. A FIFO, a device, a
link or a directory in the place of a file is refused, without blocking on it or following it.
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
"""Limit for the size of a file: more than any snapshot has, and little enough for the memory."""
_NOT_FOLLOWED: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotOursError(PermissionError):
    """Raised for what another user may have created or changed. The message says what is wrong."""


def make_directory(path: Path) -> None:
    """Create ``path`` and its missing parents for this user alone; restrict a directory that exists.

    Raises:
        NotOursError: if it is a link, or belongs to another user.
        OSError: if it cannot be created.
    """
    make_parents(path)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        narrow(path)
    else:
        path.chmod(0o700)  # whatever the umask


def make_parents(path: Path) -> None:
    """Create the missing parents of ``path`` for this user alone; existing ones stay as they are."""
    for parent in reversed([parent for parent in path.absolute().parents if not parent.exists()]):
        try:
            parent.mkdir(0o700)
        except FileExistsError:  # another process was faster
            continue
        parent.chmod(0o700)


def narrow(path: Path) -> None:
    """Restrict an existing directory to this user.

    Raises:
        NotOursError: if it is a link, or belongs to another user.
        OSError: if it is not a directory, or does not exist.
    """
    if path.is_symlink():
        raise NotOursError(f"{path} is a link: remove it, or name the place that it leads to")
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOT_FOLLOWED)
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid():
            raise NotOursError(f"{path} belongs to another user (uid {status.st_uid})")
        if status.st_mode & _OTHERS:
            os.fchmod(directory, 0o700)
    finally:
        os.close(directory)


def is_own_directory(path: Path) -> bool:
    """Return whether ``path`` is a directory of this user, readable and writable, and not a link."""
    return not why_not_own(path)


def why_not_own(path: Path) -> str:
    """Return why :func:`is_own_directory` is false, in a few words; empty if it is true."""
    try:
        status = path.lstat()
    except OSError as error:
        return error.strerror or type(error).__name__
    if stat.S_ISLNK(status.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(status.st_mode):
        return "it is no directory"
    if status.st_uid != os.geteuid():
        return f"it belongs to another user (uid {status.st_uid})"
    if not os.access(path, os.R_OK | os.X_OK):
        return f"it cannot be looked into (mode {stat.S_IMODE(status.st_mode):04o})"
    if os.access(path, os.W_OK):
        return ""
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return "its file system is read-only"
    return f"it is closed to writing (mode {stat.S_IMODE(status.st_mode):04o})"


def open_own(path: Path, flags: int, *, is_shielded: bool = False) -> int:
    """Open an existing file of this user.

    Args:
        path: the file.
        flags: as for :func:`os.open`.
        is_shielded: whether the directory has always been closed to others; then the mode does not matter.

    Raises:
        NotOursError: if it is not a regular file, or others may have changed it.
        OSError: if it cannot be opened.
    """
    try:
        file = os.open(path, flags | _NOT_FOLLOWED, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR):
            raise NotOursError("it is no regular file") from None
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise NotOursError("it is no regular file")
        if status.st_uid != os.geteuid():
            raise NotOursError(f"it belongs to another user (uid {status.st_uid})")
        if status.st_mode & _WRITABLE_BY_OTHERS and not is_shielded:
            raise NotOursError(f"others may write to it (mode {stat.S_IMODE(status.st_mode):04o})")
    except BaseException:
        os.close(file)
        raise
    return file


def read_text(path: Path, *, is_shielded: bool = False) -> str:
    """Return the text of a file of this user.

    Raises:
        NotOursError: as from :func:`open_own`.
        ValueError: if it is not UTF-8, or too large.
        OSError: if it cannot be read.
    """
    with open(open_own(path, os.O_RDONLY, is_shielded=is_shielded), "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has over {MOST_BYTES:,} bytes")
    return content.decode()


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old content or the new one, never a part.

    Raises:
        OSError: if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOT_FOLLOWED
    try:
        file = os.open(temporary, flags, 0o600)
    except FileExistsError:  # left by a process that was killed while writing
        temporary.unlink()
        file = os.open(temporary, flags, 0o600)
    with open(file, "wb", buffering=0) as opened:
        os.fchmod(file, 0o600)  # whatever the umask
        left = memoryview(text.encode())
        while left:
            left = left[opened.write(left) :]
    temporary.replace(path)
