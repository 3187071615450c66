"""Recognise exceptions that a signal handler of the application raises in the middle of our code.

Python runs a handler between any two instructions of the main thread and raises its exception there: the time
limit of Celery or gunicorn may be raised within our code that stops our own errors. Such an exception is not
our error, and propagates.
"""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Iterator
from traceback import walk_tb
from types import CodeType, FrameType


def let_pass(error: BaseException) -> None:
    """Raise ``error``, or the exception that led to it, if a signal handler raised it."""
    raised_by_handler = of_handler(error)
    if raised_by_handler is not None:
        raise raised_by_handler


def of_handler(error: BaseException) -> BaseException | None:
    """Return the signal handler's exception that ``error`` is or comes from, or None.

    Has to be called where ``error`` was caught.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return None  # handlers run in the main thread
    outer = _frames_around(error)
    for cause in _chain(error):
        trace = cause.__traceback__
        if trace is not None and trace.tb_frame not in outer and signal_of(cause) is not None:
            return cause
    return None


def signal_of(error: BaseException) -> int | None:
    """Return the signal whose handler raised ``error``, or None."""
    codes: dict[CodeType, int] | None = None
    for frame, _ in walk_tb(error.__traceback__):
        number = _handled_by(frame)
        if number is None:
            codes = _registered() if codes is None else codes
            number = codes.get(frame.f_code)
        if number is not None:
            return number
    return None


def _frames_around(error: BaseException) -> set[FrameType]:
    """Return the frames around the one that caught ``error``.

    An exception that is being handled there is the ``__context__`` of ``error``, but not its cause.
    """
    trace, frames = error.__traceback__, set()
    frame = trace.tb_frame.f_back if trace is not None else None
    while frame is not None:
        frames.add(frame)
        frame = frame.f_back
    return frames


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _handled_by(frame: FrameType) -> int | None:
    """Return the signal if ``frame`` is that of a signal handler, else None.

    Only a handler is called with a signal's number and the interrupted frame, which is also its caller.
    """
    arguments = inspect.getargvalues(frame)
    values = [arguments.locals.get(name) for name in arguments.args]
    values += arguments.locals.get(arguments.varargs, ()) if arguments.varargs else ()
    for number, interrupted in zip(values, values[1:], strict=False):
        if interrupted is not None and interrupted is frame.f_back and isinstance(number, int):
            return number
    return None


def _registered() -> dict[CodeType, int]:
    """Return the signals by the code of their handlers, for handlers that overwrite their arguments."""
    numbers: dict[CodeType, int] = {}
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if isinstance(code, CodeType):
            numbers[code] = int(number)
    return numbers
