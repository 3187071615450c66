"""The guard of a test run: see `tests/runs.py`. Standard library only; it starts with every run.

Usage: `python guard.py FOLDER OWNER`, with a pipe from the owner as standard input.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

POLL_SECONDS = 0.2
"""Seconds between two checks that the owner lives; a forked child may keep the pipe open."""
QUIT_SECONDS = 10.0
"""How long PostgreSQL is sent SIGQUIT, at which it frees its shared memory, before it is killed."""

_PIPE = os.readlink("/proc/self/fd/0") if Path("/proc/self/fd/0").exists() else ""


def main(folder: str, owner: int) -> None:
    while os.getppid() == owner and not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        pass
    began = time.monotonic()
    excluded = {os.getpid(), owner} if os.getppid() == owner else {os.getpid()}
    while left := list(_processes(folder.encode(), excluded)):
        for process in left:
            _end(process, gently=time.monotonic() - began < QUIT_SECONDS)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _processes(folder: bytes, excluded: set[int]) -> Iterator[int]:
    """Yield the processes that belong to the run, by `/proc` (on Linux only)."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            belongs = int(entry.name) not in excluded and _belongs(entry, folder)
        except OSError:
            continue  # it has ended, or belongs to another user
        if belongs:
            yield int(entry.name)


def _belongs(process: Path, folder: bytes) -> bool:
    command = (process / "cmdline").read_bytes()
    if __file__.encode() in command:
        return False  # it is the guard of a run within this one, and ends when its owner does
    return folder in command or folder in (process / "environ").read_bytes() or _holds_pipe(process)


def _holds_pipe(process: Path) -> bool:
    """Whether a process is the owner, or was forked from it: the environment is that of the last `exec`."""
    return any(os.readlink(descriptor) == _PIPE for descriptor in (process / "fd").iterdir())


def _end(process: int, *, gently: bool) -> None:
    try:
        is_postgres = Path(f"/proc/{process}/comm").read_text().strip() == "postgres"
        os.kill(process, signal.SIGQUIT if gently and is_postgres else signal.SIGKILL)
    except OSError:
        pass  # it has ended meanwhile


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
