"""A folder of a test run, for what its processes share, and a guard that ends whatever the run leaves behind.

The first process that asks for the folder owns the run. However it ends (in good order, by Ctrl-C, killed),
the guard, a process beside it, then kills every process that still belongs to the run and deletes the folder.
A process belongs to the run if its environment or its command line names the folder (what the owner starts
inherits the variable, unless a test says otherwise), or if it was forked from the owner.
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
"""Environment variable that holds the folder, for the workers of pytest-xdist and every other child."""
WAITS = 20.0
"""Seconds a run waits at its end until the guard has ended everything."""
_guard: subprocess.Popen[bytes] | None = None
_owner = 0


def folder() -> Path:
    """Return the folder of this run, which any user may enter; made and guarded when first asked for."""
    global _guard, _owner
    if known := os.environ.get(VARIABLE):
        return Path(known)
    made = Path(tempfile.mkdtemp(prefix="tests-"))
    made.chmod(0o711)
    os.environ[VARIABLE] = str(made)
    _owner = os.getpid()
    _guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py")), str(made), str(_owner)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the run, and the guard comes after it
    )
    atexit.register(end)
    return made


def shared(name: str, make: Callable[[], T]) -> T:
    """Return what `make` returned to the first process of this run that asked for a name.

    Args:
        name: of what is shared; part of the name of a file.
        make: makes it; the result must be picklable, and of use to other processes.
    """
    kept = folder() / f"{name}.pickle"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
        made: T = pickle.loads(kept.read_bytes())
        return made


def end() -> None:
    """Have the guard end what is left, now; only in the owner, not in what was forked from it."""
    if _guard is None or _owner != os.getpid() or _guard.poll() is not None:
        return
    assert _guard.stdin
    with contextlib.suppress(BrokenPipeError), _guard.stdin:
        # The end of the pipe is not enough: a forked child may have it open.
        _guard.stdin.write(b"end\n")
    # On a busy machine it goes on after this process.
    with contextlib.suppress(subprocess.TimeoutExpired):
        _guard.wait(WAITS)
