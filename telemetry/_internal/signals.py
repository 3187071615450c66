"""Exceptions that a signal handler of the application's raises in the middle of our work.

Python runs a handler between any two instructions of the main thread, and what it raises goes on from there:
a time limit of Celery's or of gunicorn's may end up in code of ours that stops our own errors. It is none of
them, and passes.
"""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Iterator
from traceback import walk_tb
from types import CodeType, FrameType


def let_pass(error: BaseException) -> None:
    """Raise ``error``, or the exception that led to it, if a signal handler raised that."""
    found = of_handler(error)
    if found is not None:
        raise found


def of_handler(error: BaseException) -> BaseException | None:
    """Return the exception of a signal handler that ``error`` is, or comes from; None if there is none.

    Call it where ``error`` was caught.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return None  # handlers run in the main thread
    outer = _frames_around(error)
    for each in _chain(error):
        trace = each.__traceback__
        if trace is not None and trace.tb_frame not in outer and signal_of(each) is not None:
            return each
    return None


def signal_of(error: BaseException) -> int | None:
    """Return the signal whose handler raised ``error``; None if it was raised otherwise."""
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
    """Return the frames outside of the one that caught ``error``.

    What they caught before, and work on, is the context of what is raised meanwhile, but not its reason.
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
    """Return the signal that the function of ``frame`` was called with, as only a handler is.

    It gets the signal's number and the frame that was interrupted, which is the one it was called from.
    """
    arguments = inspect.getargvalues(frame)
    values = [arguments.locals.get(name) for name in arguments.args]
    values += arguments.locals.get(arguments.varargs, ()) if arguments.varargs else ()
    for number, interrupted in zip(values, values[1:], strict=False):
        if interrupted is not None and interrupted is frame.f_back and isinstance(number, int):
            return number
    return None


def _registered() -> dict[CodeType, int]:
    """Return the signal of each handler by its code, for those that forget their arguments."""
    found: dict[CodeType, int] = {}
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if isinstance(code, CodeType):
            found[code] = int(number)
    return found
