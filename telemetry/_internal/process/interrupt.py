"""End a command at once on Ctrl-C, whatever it is doing: with one line and exit status 130.

Python handles signals between two of its own instructions, so a driver that waits for a database delays them.
Here a thread receives the signal through a pipe and cancels the drivers' queries. What still does not end,
such as C code or a wait at exit, is abandoned.
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

from telemetry._internal.partial_file import block_new_files, remove_partial_files

STATUS: Final = 130
"""Exit status by which shells report Ctrl-C."""
GRACE: Final = 1.0
"""Seconds for the command to end by itself, and to restore the terminal."""
_CONNECTIONS: Final = (
    ("sqlite3", "Connection"),
    ("psycopg2.extensions", "connection"),
    ("psycopg", "Connection"),
)
"""Connection classes and their modules."""
_SHOW_CURSOR: Final = "\033[?25h"
"""Undoes the hidden cursor of a progress bar."""


class _Interruption:
    """State of one command's interruption."""

    def __init__(self) -> None:
        self.received = threading.Event()
        self._lock = threading.Lock()
        self._is_announced = False

    def announce(self) -> None:
        """Print the line, once."""
        with self._lock:
            if self._is_announced:
                return
            self._is_announced = True
        with contextlib.suppress(OSError, ValueError):
            if sys.stderr is not None:
                start = "\n" if sys.stderr.isatty() else ""
                sys.stderr.write(f"{start}Interrupted.\n")
                sys.stderr.flush()


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
    """Let Ctrl-C end the block; outside the main thread, do nothing special.

    Raises:
        SystemExit: with :data:`STATUS`, if Ctrl-C was pressed.
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
            # A driver may report the cancelled query before Python raises KeyboardInterrupt.
            if not interruption.received.is_set() or isinstance(error, GeneratorExit):
                raise
            _leave(interruption)


def _leave(interruption: _Interruption) -> None:
    interruption.received.set()
    interruption.announce()
    remove_partial_files()  # Ctrl-C may have cut their removal short
    raise SystemExit(STATUS) from None


@contextlib.contextmanager
def _listening(interruption: _Interruption) -> Iterator[None]:
    """Let the system write signals to a pipe that a thread reads."""
    reading_end, writing_end = os.pipe()
    os.set_blocking(writing_end, False)
    before = signal.set_wakeup_fd(writing_end, warn_on_full_buffer=False)
    thread = threading.Thread(
        target=_listen, args=(reading_end, interruption), name="telemetry-interrupt", daemon=True
    )
    thread.start()
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable(sys.unraisablehook)
    disabled_level, handler = logging.root.manager.disable, signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, _quieten)
    try:
        yield
    finally:
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, handler)
        logging.disable(disabled_level)
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        # This ends the thread, unless a signal has arrived: then the thread ends the process.
        os.close(writing_end)


def _quieten(number: int, frame: FrameType | None) -> None:
    """Disable logging, because interrupted libraries log tracebacks; ignore a second Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()
    signal.default_int_handler(number, frame)


def _unraisable(hook: Callable[[sys.UnraisableHookArgs], Any]) -> Callable[[sys.UnraisableHookArgs], Any]:
    """Return a hook that ignores a Ctrl-C raised in a callback; the thread handles it."""

    def quiet(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)

    return quiet


def _listen(pipe: int, interruption: _Interruption) -> None:
    with open(pipe, "rb", buffering=0) as signals:
        while numbers := signals.read(64):
            if signal.SIGINT in numbers:
                interruption.received.set()
                logging.disable()
                with contextlib.suppress(RuntimeError):  # while Python ends, it starts no thread from 3.12 on
                    threading.Thread(target=_cancel_queries, daemon=True).start()
                time.sleep(GRACE)
                _give_up(interruption)


def _cancel_queries() -> None:
    """Cancel the queries of all connections in this process; drivers allow it from any thread."""
    types = [getattr(sys.modules[module], name) for module, name in _CONNECTIONS if module in sys.modules]
    for candidate in gc.get_objects() if types else ():
        if issubclass(type(candidate), tuple(types)):
            _cancel(candidate)


def _cancel(connection: Any) -> None:
    with contextlib.suppress(Exception):  # the connection may be closed, or the server unreachable
        (connection.interrupt if hasattr(connection, "interrupt") else connection.cancel)()


def _give_up(interruption: _Interruption) -> None:
    """End the process: what is still running would not end soon."""
    interruption.announce()
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None and sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _SHOW_CURSOR.encode())
    block_new_files()
    remove_partial_files()
    os._exit(STATUS)
