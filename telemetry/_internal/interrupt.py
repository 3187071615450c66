"""Ctrl-C ends a command at once, whatever it is doing: with one line, and exit status 130.

Python hears of a signal between two of its own instructions. A driver that waits for a database lets it wait,
too, as long as the database takes. So a thread hears of it by another way, and cancels what the drivers do.
What does not end then, because it is C code, or waits for a server or a thread at exit, is left behind.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

STATUS: Final = 130
"""Exit status, as shells have it for what Ctrl-C has ended."""
GRACE: Final = 1.0
"""Seconds for the command to end by itself: to remove half a file, and to give the terminal back."""
_CONNECTIONS: Final = (
    ("sqlite3", "Connection"),
    ("psycopg2.extensions", "connection"),
    ("psycopg", "Connection"),
)
"""Types of connections, by the modules that have them."""
_SHOW_CURSOR: Final = "\033[?25h"
"""What a progress bar undoes at its end."""


class _Interruption:
    """What is known of one command's Ctrl-C."""

    def __init__(self) -> None:
        self.has_come = threading.Event()
        self._lock = threading.Lock()
        self._is_told = False

    def tell(self) -> None:
        """Print the line, once."""
        with self._lock:
            if self._is_told:
                return
            self._is_told = True
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None:
                start = "\n" if sys.stderr.isatty() else ""
                sys.stderr.write(f"{start}Interrupted.\n")
                sys.stderr.flush()


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
    """Let Ctrl-C end what is done in this context; outside the main thread, it does nothing.

    Raises:
        SystemExit: with :data:`STATUS`, when Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interruption = _Interruption()
    with _listening(interruption):
        try:
            yield
        except KeyboardInterrupt:
            _leave(interruption)
        except BaseException as error:
            # A driver tells of the cancelled query before Python tells of the signal.
            if not interruption.has_come.is_set() or isinstance(error, GeneratorExit):
                raise
            _leave(interruption)


def _leave(interruption: _Interruption) -> None:
    interruption.has_come.set()
    interruption.tell()
    raise SystemExit(STATUS) from None


@contextlib.contextmanager
def _listening(interruption: _Interruption) -> Iterator[None]:
    """Have the system write signals to a pipe, at which a thread listens."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    before = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    thread = threading.Thread(
        target=_listen, args=(ours, interruption), name="telemetry-interrupt", daemon=True
    )
    thread.start()
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable(sys.unraisablehook)
    logged, handler = logging.root.manager.disable, signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, _quieten)
    try:
        yield
    finally:
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, handler)
        logging.disable(logged)
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        os.close(theirs)  # which ends the thread, unless a signal has come: then it sees to the end


def _quieten(number: int, frame: FrameType | None) -> None:
    """Log nothing from now on: where Ctrl-C ends what a library was doing, the library logs a traceback."""
    logging.disable()
    signal.default_int_handler(number, frame)


def _unraisable(hook: Callable[[sys.UnraisableHookArgs], Any]) -> Callable[[sys.UnraisableHookArgs], Any]:
    """Return a hook that is quiet about a Ctrl-C that Python lost in a callback: the thread sees to it."""

    def quiet(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)

    return quiet


def _listen(pipe: int, interruption: _Interruption) -> None:
    with open(pipe, "rb", buffering=0) as signals:
        while found := signals.read(64):
            if signal.SIGINT in found:
                interruption.has_come.set()
                logging.disable()
                threading.Thread(target=_cancel_queries, daemon=True).start()
                time.sleep(GRACE)
                _give_up(interruption)


def _cancel_queries() -> None:
    """Cancel what any connection of this process does; all of them know how, from any thread."""
    types = [getattr(sys.modules[module], name) for module, name in _CONNECTIONS if module in sys.modules]
    for each in gc.get_objects() if types else ():
        if issubclass(type(each), tuple(types)):
            _cancel(each)


def _cancel(connection: Any) -> None:
    with contextlib.suppress(Exception):  # it may be closed, or its server be away
        (connection.interrupt if hasattr(connection, "interrupt") else connection.cancel)()


def _give_up(interruption: _Interruption) -> None:
    """End the process: what is still going on would not have ended soon."""
    interruption.tell()
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None and sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _SHOW_CURSOR.encode())
    os._exit(STATUS)
