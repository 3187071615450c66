"""Saves what is known when SIGTERM ends a process that does not handle it, and lets it die by the signal.

A redeploy ends a plain worker script so, at any moment: without this its last calls would be in no total. The
application must not notice, whatever it does with the signal before or afterwards:

* Only the default disposition is replaced, in the main thread. For ``signal.getsignal``, and for a host that
  sets a handler of its own and calls the one before it, it stays ``SIG_DFL``: the handler here is an integer
  equal to it. A host's handler simply takes its place.
* The handler runs between any two instructions of the main thread, which may hold any lock of ours. So it
  takes none, and leaves the work to a thread; if that finds a lock taken, the main thread goes on meanwhile.
* The process dies by the same signal in :data:`SAVE_SECONDS` + :data:`DELIVER_SECONDS` at the latest. A
  second SIGTERM ends it at once.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the only way to set a handler that looks like SIG_DFL
import _thread
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from telemetry._internal.guard import guarded

SAVE_SECONDS: Final = 0.5
"""How long the main thread waits for what is known to be in the spool."""
DELIVER_SECONDS: Final = 2.0
"""How long the database may take then; what it does not take in time stays in the spool."""


class Saving(Protocol):
    """What has something to save: a pipeline."""

    def save(self) -> None:
        """Close what is open as interrupted and put it into the spool."""

    def deliver(self, seconds: float) -> None:
        """Bring what is in the spool to the database, for at most so long, then save what came meanwhile."""


class _Handler(int):
    """Handles SIGTERM, and equals ``signal.SIG_DFL``."""

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Have everything saved; ends the process. Runs in the main thread."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        is_saved = _thread.allocate_lock()
        is_saved.acquire()
        try:
            _thread.start_new_thread(_die_later, ())
            _thread.start_new_thread(_save_and_die, (is_saved.release,))
        except RuntimeError:  # there may be no more threads
            _die()
        if is_saved.acquire(timeout=SAVE_SECONDS):
            time.sleep(2 * DELIVER_SECONDS)  # dies meanwhile


_handler: Final = _Handler(signal.SIG_DFL)
_saving: Final[list[Saving]] = []
"""Whose runs are saved."""


def follow(saving: Saving) -> None:
    """Have ``saving`` save when SIGTERM ends this process, unless the application handles the signal."""
    _saving.append(saving)
    if _signal.getsignal(signal.SIGTERM) is not _handler and _is_default():
        with suppress(ValueError):  # not in the main thread
            _signal.signal(signal.SIGTERM, _handler)


def leave(saving: Saving) -> None:
    """Forget ``saving``; with the last one the default disposition is back, where it may be set from here."""
    with suppress(ValueError):
        _saving.remove(saving)
    if not _saving and _signal.getsignal(signal.SIGTERM) is _handler:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_default() -> bool:
    """Say whether nobody handles SIGTERM, and it would end the process.

    The kernel lets it pass by the first process of a container, which has no default.
    """
    if os.getpid() == 1 or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    return not _is_caught_outside_of_python()


def _is_caught_outside_of_python() -> bool:
    """Say whether a handler is set that Python does not know of, as by ``faulthandler``; on Linux."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def _save_and_die(saved: Callable[[], None]) -> None:
    try:
        for saving in list(_saving):
            with guarded("writer"):
                saving.save()
        saved()
        deadline = time.monotonic() + DELIVER_SECONDS
        for saving in list(_saving):
            with guarded("writer"):
                saving.deliver(max(deadline - time.monotonic(), 0))
    finally:
        _die()


def _die_later() -> None:
    time.sleep(SAVE_SECONDS + DELIVER_SECONDS)
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
