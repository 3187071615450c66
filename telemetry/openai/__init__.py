"""Observe calls of the OpenAI client: attempts, answers, streams and sockets.

:mod:`.kinds_of_429` decides which refusals count as rate limiting; :mod:`telemetry.usage` decides what an
answer is billed for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import instrument, uninstrument

__all__ = ["instrument", "uninstrument"]


def __getattr__(name: str) -> Any:
    """Import functions that need wrapt on first access."""
    if name in __all__:
        from . import calls

        return getattr(calls, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
