"""Standard output that holds what a command prints, and nothing of the application it loads.

An application may print while it is imported, log to standard output, or print at the end of the process. So
while a command runs, file descriptor 1 leads to standard error, and the command has the real one to itself.
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

_is_apart = False
"""Whether standard output is a command's own at this moment."""


@contextmanager
def own_output() -> Iterator[None]:
    """Have standard output for the block alone; from its end on, what is printed at exit is not in it."""
    global _is_apart
    before = sys.stdout
    if _is_apart or not _is_real(before):
        _is_apart, outer = True, _is_apart
        try:
            yield
        finally:
            _is_apart = outer
        return
    before.flush()
    real = os.dup(STDOUT)
    own = _like(before, os.dup(real))
    os.dup2(STDERR, STDOUT)
    sys.stdout, _is_apart = own, True
    try:
        yield
    finally:
        _is_apart = False
        sys.stdout = before
        _end(before, own, real)


@contextmanager
def host_output() -> Iterator[None]:
    """Let what the application prints in the block go to standard error."""
    if not _is_apart or sys.stderr is None:
        yield
        return
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before


def _is_real(stream: TextIO | None) -> bool:
    """Say whether ``stream`` is the standard output of the process, and standard error is open, too."""
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
    """Give standard output back, until the process ends."""
    try:
        before.flush()  # the application's, to standard error
    except OSError:
        pass
    try:
        own.close()
    except OSError:  # a full disk, or a pipe that nobody reads: reported by then
        pass
    os.dup2(real, STDOUT)
    os.close(real)
    atexit.unregister(_redirect)
    atexit.register(_redirect)  # the last to be registered is the first to run


def _redirect() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        os.dup2(STDERR, STDOUT)
    except (OSError, ValueError):
        pass
