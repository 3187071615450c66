"""The folder that the processes of a test run share, and a guard that ends what the run leaves behind.

The first process that calls :func:`folder` owns the run. However this process ends (normally, by Ctrl-C, or
killed), the guard, a separate process, then kills every process that still belongs to the run and deletes
the folder.
A process belongs to the run if its environment or its command line names the folder (what the owner starts
inherits the variable, unless a test removes it), or if it was forked from the owner.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
VARIABLE = "TEST_RUN"
"""Environment variable with the path of the folder, for workers of pytest-xdist and all other children."""
MEMORY = Path("/dev/shm")
"""Files in memory. To copy and drop a database there takes a third of the time that it takes on a disk."""
ROOM = 4 * 2**30
"""Bytes that must be free in memory; a run uses about a fourth of them."""
GUARD_SECONDS = 20.0
"""How long the end of a run waits for the guard."""
_guard: subprocess.Popen[bytes] | None = None
_owner = 0


def folder() -> Path:
    """Return the folder of this run, which any user may enter; the first call starts the guard, too."""
    global _guard, _owner
    if known := os.environ.get(VARIABLE):
        return Path(known)
    path = Path(tempfile.mkdtemp(prefix="tests-", dir=temporary()))
    path.chmod(0o711)
    os.environ[VARIABLE] = str(path)
    _owner = os.getpid()
    _guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), str(path), str(_owner)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C must not reach the guard
    )
    atexit.register(end)
    return path


def temporary() -> Path:
    """Return the folder for temporary files: what TMPDIR names, or memory, if there is room."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return Path(tempfile.gettempdir())
    found = os.statvfs(MEMORY)
    is_fit = found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC
    return MEMORY if is_fit else Path(tempfile.gettempdir())


def shared(name: str, make: Callable[[], T]) -> T:
    """Return the value that `make` returned in the first process of this run that called this with `name`.

    Args:
        name: name of the value; part of a file name.
        make: creates the value, which must be picklable and usable in other processes.
    """
    file = folder() / f"{name}.pickle"
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_bytes(pickle.dumps(make()))
        value: T = pickle.loads(file.read_bytes())
        return value


def end() -> None:
    """Tell the guard to end everything now; does nothing in a process that was forked from the owner."""
    if _guard is None or _owner != os.getpid() or _guard.poll() is not None:
        return
    assert _guard.stdin
    with contextlib.suppress(BrokenPipeError), _guard.stdin:
        # The end of the pipe is not enough: a forked child may have it open.
        _guard.stdin.write(b"end\n")
    # On a busy machine the guard may need longer; it continues after the end of this process.
    with contextlib.suppress(subprocess.TimeoutExpired):
        _guard.wait(GUARD_SECONDS)
