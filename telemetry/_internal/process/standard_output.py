"""Reserve standard output for what a command prints, without output of the application it loads.

An application may print while it is imported, log to standard output, or print at exit. So while a command
runs, file descriptor 1 refers to standard error, and only the command writes to the real standard output.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

STDOUT: Final = 1
STDERR: Final = 2

_is_reserved = False
"""Whether standard output is reserved for a command at present."""


@contextmanager
def own_output() -> Iterator[None]:
    """Reserve standard output for the block; output at exit is kept out of it as well."""
    global _is_reserved
    before = sys.stdout
    if _is_reserved or not _is_real(before):
        _is_reserved, outer = True, _is_reserved
        try:
            yield
        finally:
            _is_reserved = outer
        return
    before.flush()
    real = os.dup(STDOUT)
    own = _like(before, os.dup(real))
    os.dup2(STDERR, STDOUT)
    sys.stdout, _is_reserved = own, True
    try:
        yield
    finally:
        _is_reserved = False
        sys.stdout = before
        _end(before, own, real)


@contextmanager
def host_output() -> Iterator[None]:
    """Send what the application prints in the block to standard error."""
    if not _is_reserved or sys.stderr is None:
        yield
        return
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before


def _is_real(stream: TextIO | None) -> bool:
    """Return whether ``stream`` is the process's standard output and standard error is open."""
    try:
        os.fstat(STDERR)
        return isinstance(stream, io.TextIOWrapper) and stream.fileno() == STDOUT
    except (OSError, ValueError):
        return False


def _like(stream: TextIO, descriptor: int) -> TextIO:
    assert isinstance(stream, io.TextIOWrapper)
    return open(
        descriptor,
        "w",
        buffering=1 if stream.line_buffering else -1,
        encoding=stream.encoding,
        errors=stream.errors,
        newline=None,
    )


def _end(before: TextIO, own: TextIO, real: int) -> None:
    """Restore standard output until the process ends."""
    try:
        before.flush()  # the application's, to standard error
    except OSError:
        pass
    try:
        own.close()
    except OSError:  # a full disk or a closed pipe, which the command has reported already
        pass
    os.dup2(real, STDOUT)
    os.close(real)
    atexit.unregister(_redirect)
    atexit.register(_redirect)  # handlers run in reverse order of registration


def _redirect() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        os.dup2(STDERR, STDOUT)
    except (OSError, ValueError):
        pass
