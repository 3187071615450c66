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

LOOKS_EVERY = 0.2
"""Seconds between two looks at whether the owner lives: a forked child of its may keep the pipe open."""
GENTLE_FOR = 10.0
"""Seconds PostgreSQL has for its own way to end at once, which gives shared memory back."""

OUR_PIPE = os.readlink("/proc/self/fd/0") if Path("/proc/self/fd/0").exists() else ""


def main(folder: str, owner: int) -> None:
    while os.getppid() == owner and not select.select([sys.stdin], [], [], LOOKS_EVERY)[0]:
        pass
    began = time.monotonic()
    without = {os.getpid(), owner} if os.getppid() == owner else {os.getpid()}
    while left := list(_processes(folder.encode(), without)):
        for process in left:
            _end(process, gently=time.monotonic() - began < GENTLE_FOR)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _processes(folder: bytes, without: set[int]) -> Iterator[int]:
    """Yield the processes that belong to the run, as far as `/proc` tells (Linux)."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            belongs = int(entry.name) not in without and _belongs(entry, folder)
        except OSError:
            continue  # gone, or another user's
        if belongs:
            yield int(entry.name)


def _belongs(process: Path, folder: bytes) -> bool:
    command = (process / "cmdline").read_bytes()
    if __file__.encode() in command:
        return False  # the guard of a run within this one sees for itself that its owner is gone
    return folder in command or folder in (process / "environ").read_bytes() or _holds_our_pipe(process)


def _holds_our_pipe(process: Path) -> bool:
    """Whether a process is the owner, or was forked from it: the environment is that of the last `exec`."""
    return any(os.readlink(descriptor) == OUR_PIPE for descriptor in (process / "fd").iterdir())


def _end(process: int, *, gently: bool) -> None:
    try:
        is_postgres = Path(f"/proc/{process}/comm").read_text().strip() == "postgres"
        os.kill(process, signal.SIGQUIT if gently and is_postgres else signal.SIGKILL)
    except OSError:
        pass  # it was faster


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
