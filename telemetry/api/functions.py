"""Functions that run in a block: ``stage`` and ``run`` as decorators.

Each call opens a block of its own. The context of a generator is current only while the generator works:
when it is suspended, its caller continues in the context that was current before, and the next step continues
in the context of the previous step.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from types import TracebackType
from typing import ParamSpec, Protocol, TypeVar, cast

from opentelemetry import context
from opentelemetry.context import Context

from . import arguments

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Yield = TypeVar("_Yield")
_Send = TypeVar("_Send")


class Opening(Protocol):
    """A block that is not open yet."""

    @property
    def is_recorded(self) -> bool:
        """Whether the block is open and recorded."""

    def __enter__(self) -> object:
        """Open the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the block; never swallow the exception."""


def in_block(func: Callable[_P, _R], new: Callable[[], Opening]) -> Callable[_P, _R]:
    """Wrap ``func`` so that each call runs in a block of its own, made by ``new``.

    The wrapper is a function of the same kind: plain, coroutine, generator or asynchronous generator.
    """
    if not callable(func):
        arguments.refuse("function", func, "a function; other decorators, such as classmethod, come first")
        return func
    if inspect.isasyncgenfunction(func):
        return cast(Callable[_P, _R], _async_generator(func, new))
    if inspect.iscoroutinefunction(func):
        return cast(Callable[_P, _R], _coroutine(func, new))
    if inspect.isgeneratorfunction(func):
        return cast(Callable[_P, _R], _generator(func, new))
    return _plain(func, new)


def is_suspended(func: Callable[..., object]) -> bool:
    """Return whether a call of ``func`` returns a generator, which does its work later."""
    return inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)


def _plain(func: Callable[_P, _R], new: Callable[[], Opening]) -> Callable[_P, _R]:
    @functools.wraps(func)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with new():
            return func(*args, **kwargs)

    return wrapper


def _coroutine(
    func: Callable[_P, Awaitable[_R]], new: Callable[[], Opening]
) -> Callable[_P, Coroutine[None, None, _R]]:
    @functools.wraps(func)
    async def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with new():
            return await func(*args, **kwargs)

    return wrapper


def _generator(
    func: Callable[_P, Generator[_Yield, _Send, _R]], new: Callable[[], Opening]
) -> Callable[_P, Generator[_Yield, _Send, _R]]:
    """Wrap a generator function: ``yield from``, with a change of contexts around each step."""

    @functools.wraps(func)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> Generator[_Yield, _Send, _R]:
        body = func(*args, **kwargs)
        block = _Block(new)
        step: Callable[[], _Yield] = functools.partial(next, body)
        try:
            while True:
                with block.step():
                    try:
                        value = step()
                    except StopIteration as end:
                        return cast(_R, end.value)
                try:
                    sent = yield value
                except GeneratorExit:
                    with block.step():
                        body.close()
                    raise
                except BaseException as error:
                    step = functools.partial(body.throw, error)
                else:
                    step = functools.partial(body.send, sent)
        except BaseException as error:
            block.close(error)
            raise
        finally:
            block.close(None)
            del step  # breaks a cycle: it may hold the error, whose traceback holds this frame

    return wrapper


def _async_generator(
    func: Callable[_P, AsyncGenerator[_Yield, _Send]], new: Callable[[], Opening]
) -> Callable[_P, AsyncGenerator[_Yield, _Send]]:
    """Wrap an asynchronous generator function, for which there is no ``yield from``."""

    @functools.wraps(func)
    async def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> AsyncGenerator[_Yield, _Send]:
        body = func(*args, **kwargs)
        block = _Block(new)
        step: Callable[[], Awaitable[_Yield]] = body.__anext__
        try:
            while True:
                with block.step():
                    try:
                        value = await step()
                    except StopAsyncIteration:
                        return
                try:
                    sent = yield value
                except GeneratorExit:
                    with block.step():
                        await body.aclose()
                    raise
                except BaseException as error:
                    step = functools.partial(body.athrow, error)
                else:
                    step = functools.partial(body.asend, sent)
        except BaseException as error:
            block.close(error)
            raise
        finally:
            block.close(None)
            del step  # breaks a cycle: it may hold the error, whose traceback holds this frame

    return wrapper


class _Block:
    """The block of a generator, and the context in which its next step runs."""

    def __init__(self, new: Callable[[], Opening]) -> None:
        self._new = new
        self._block: Opening | None = None
        self._inside: Context | None = None
        """The context of the generator while it is suspended; None if nothing is recorded."""
        self._has_begun = False

    def step(self) -> _Step:
        """Return a context manager for one step of the generator; the first one opens the block."""
        return _Step(self)

    def enter(self) -> Context:
        """Make the generator's context current, and return the caller's."""
        outside = context.get_current()
        if self._inside is not None:
            context.attach(self._inside)
        elif not self._has_begun:
            self._has_begun = True
            block = self._new()
            block.__enter__()
            self._block = block
        return outside

    def leave(self, outside: Context) -> None:
        """Make the caller's context current again."""
        if self._inside is not None or (self._block is not None and self._block.is_recorded):
            self._inside = context.get_current()
            context.attach(outside)

    def close(self, error: BaseException | None) -> None:
        """Close the block, once, with the error that ended the generator."""
        if self._block is None:
            return
        with _Step(self):
            block, self._block = self._block, None
            if error is None:
                block.__exit__(None, None, None)
            else:
                block.__exit__(type(error), error, error.__traceback__)


class _Step:
    """One step of a generator, from one suspension to the next."""

    __slots__ = ("_block", "_outside")

    def __init__(self, block: _Block) -> None:
        self._block = block
        self._outside = Context()

    def __enter__(self) -> None:
        self._outside = self._block.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.leave(self._outside)
