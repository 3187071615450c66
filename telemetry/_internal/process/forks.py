"""Fork hooks that do not lose the exception of a signal handler.

The interpreter drops exceptions raised in a fork hook. So the signal is sent a second time, after the last
hook.
"""

from __future__ import annotations

import _thread
import os
import signal
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Final

from .signals import signal_of

_Hook = Callable[[], object]


class _Resend:
    """Sends a signal again when it is deleted.

    ``__del__`` consists of built-in functions: in Python code the signal would be handled within the hook.
    """

    __slots__ = ("send",)
    __del__ = property(attrgetter("send"))

    def __init__(self, number: int) -> None:
        self.send = partial(_thread.interrupt_main, signal.Signals(number))


_to_resend: Final[list[_Resend]] = []
"""Signals that arrived in a hook; the last hook clears the list, which sends them again."""

_before: Final[list[_Hook]] = []
_in_parent: Final[list[_Hook]] = []
_in_child: Final[list[_Hook]] = []


def register_at_fork(*, before: _Hook, after_in_parent: _Hook, after_in_child: _Hook) -> None:
    """Register hooks as :func:`os.register_at_fork` does.

    Hooks that run after a fork run again if a signal interrupts them, so they have to be idempotent.
    """
    _before.append(before)
    _in_parent.append(after_in_parent)
    _in_child.append(after_in_child)


def register_in_child(hook: _Hook) -> None:
    """Register a hook that runs in forked children only."""
    _in_child.append(hook)


def register_in_parent(hook: _Hook) -> None:
    """Register a hook that runs in the parent after a fork."""
    _in_parent.append(hook)


def _call(hooks: list[_Hook], repeats: bool) -> None:
    for hook in hooks:
        try:
            hook()
        except BaseException as error:
            number = signal_of(error)
            if number is None:
                raise
            _to_resend.append(_Resend(number))
            if repeats:
                hook()


os.register_at_fork(
    before=partial(_call, _before, False),
    after_in_parent=partial(_call, _in_parent, True),
    after_in_child=partial(_call, _in_child, True),
)
os.register_at_fork(after_in_parent=_to_resend.clear, after_in_child=_to_resend.clear)
