"""Calls of the OpenAI client, observed on their way: attempts, answers, streams and sockets.

Which refusals are a rate limit is said in :mod:`.kinds_of_429`; what an answer is billed for, in
:mod:`telemetry.usage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]


def __getattr__(name: str) -> Any:
    """Import what needs wrapt only when it is asked for."""
    if name in __all__:
        from . import calls

        return getattr(calls, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
