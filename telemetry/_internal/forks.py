"""Hooks of a fork: what a signal's handler raises in one of them is raised again after the fork.

The interpreter drops what a hook raises. So the signal comes a second time, once the last of the hooks is
over.
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


class _Again:
    """A signal that comes again when this goes.

    ``__del__`` is made of built-in functions: after an instruction of Python's it would be handled at once.
    """

    __slots__ = ("come",)
    __del__ = property(attrgetter("come"))

    def __init__(self, number: int) -> None:
        self.come = partial(_thread.interrupt_main, signal.Signals(number))


_again: Final[list[_Again]] = []


_before: Final[list[_Hook]] = []
_in_parent: Final[list[_Hook]] = []
_in_child: Final[list[_Hook]] = []


def register_at_fork(*, before: _Hook, after_in_parent: _Hook, after_in_child: _Hook) -> None:
    """Register hooks as :func:`os.register_at_fork` does.

    Those that come after a fork are called once more where a signal interrupts them: they must not mind.
    """
    _before.append(before)
    _in_parent.append(after_in_parent)
    _in_child.append(after_in_child)


def register_in_child(hook: _Hook) -> None:
    """Register a hook that is called in forked children only."""
    _in_child.append(hook)


def register_in_parent(hook: _Hook) -> None:
    """Register a hook that is called in the process that forked, after it did."""
    _in_parent.append(hook)


def _call(hooks: list[_Hook], once_more: bool) -> None:
    for hook in hooks:
        try:
            hook()
        except BaseException as error:
            number = signal_of(error)
            if number is None:
                raise
            _again.append(_Again(number))
            if once_more:
                hook()


os.register_at_fork(
    before=partial(_call, _before, False),
    after_in_parent=partial(_call, _in_parent, True),
    after_in_child=partial(_call, _in_child, True),
)
os.register_at_fork(after_in_parent=_again.clear, after_in_child=_again.clear)
