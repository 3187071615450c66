"""Saves everything when SIGTERM ends a process that does not handle it, which then dies by the signal.

A redeploy ends a plain worker script in this way, at any moment. Without a handler its last calls would be in
no total. The application must not notice the handler, whatever it does with the signal before or afterwards:

* Only the default disposition is replaced, in the main thread. The handler here is an integer equal to
  ``SIG_DFL``, so that it looks like the default to ``signal.getsignal``, and to a host that sets a handler
  and calls the one before it. A handler of the host simply replaces it.
* The handler runs between two instructions of the main thread, which may hold any lock of telemetry. So it
  takes none, and leaves the work to a thread. If that waits for a lock, the main thread goes on meanwhile.
* The process dies by the same signal after :data:`SAVE_SECONDS` + :data:`DELIVER_SECONDS` at the latest. A
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
"""How long the main thread waits until everything is in the spool."""
DELIVER_SECONDS: Final = 2.0
"""How long delivery may take after that; the rest stays in the spool."""


class Saving(Protocol):
    """An object that has something to save: a pipeline."""

    def save(self) -> None:
        """Close open runs as interrupted and put them into the spool."""

    def deliver(self, seconds: float) -> None:
        """Deliver what is in the spool for at most ``seconds``, then save what began meanwhile."""


class _Handler(int):
    """Handles SIGTERM, and equals ``signal.SIG_DFL``."""

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Save everything and end the process. Runs in the main thread."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        is_saved = _thread.allocate_lock()
        is_saved.acquire()
        try:
            _thread.start_new_thread(_die_later, ())
            _thread.start_new_thread(_save_and_die, (is_saved.release,))
        except RuntimeError:  # no thread can be started
            _die()
        if is_saved.acquire(timeout=SAVE_SECONDS):
            time.sleep(2 * DELIVER_SECONDS)  # the process dies meanwhile


_handler: Final = _Handler(signal.SIG_DFL)
_saving: Final[list[Saving]] = []
"""The pipelines that save."""


def follow(saving: Saving) -> None:
    """Have ``saving`` saved when SIGTERM ends this process, unless the application handles the signal."""
    _saving.append(saving)
    if _signal.getsignal(signal.SIGTERM) is not _handler and _is_default():
        with suppress(ValueError):  # not in the main thread
            _signal.signal(signal.SIGTERM, _handler)


def unfollow(saving: Saving) -> None:
    """Stop saving ``saving``. After the last one, restore the default disposition if this thread may."""
    with suppress(ValueError):
        _saving.remove(saving)
    if not _saving and _signal.getsignal(signal.SIGTERM) is _handler:
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_default() -> bool:
    """Return whether SIGTERM has no handler and would end the process.

    The kernel ignores the default disposition for the first process of a container.
    """
    if os.getpid() == 1 or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False
    return not _has_native_handler()


def _has_native_handler() -> bool:
    """Return whether a handler outside of Python is set, as by ``faulthandler``; on Linux only."""
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
