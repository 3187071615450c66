"""The usage in the events of a stream: where it stands, and whether it is final."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Final

_FINAL: Final = ("completed", "done", "failed", "incomplete", "cancelled", "expired")
"""Suffixes of the event types that carry the final usage."""
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_HOLDERS: Final = ("response", "data")
"""Fields of an event whose value may carry the usage instead of the event."""


@cache
def shape(kind: type) -> tuple[Callable[[Any], Any] | None, bool]:
    """Return a function that finds the object with the usage in an event, and whether there may be a tier.

    The function is None if events of the class ``kind`` have no usage.
    """
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__fields__", None)
    if not fields:  # decoded JSON, or a class of the application
        return (holder_of, True)
    if "usage" in fields:
        return (_itself, "service_tier" in fields)
    return (next((attrgetter(name) for name in _HOLDERS if name in fields), None), True)


def _itself(event: object) -> object:
    return event


def holder_of(event: object) -> object:
    """Return the part of an event with the usage; the event itself if there is none."""
    if field(event, "usage") is not None:
        return event
    return next((value for name in _HOLDERS if (value := field(event, name)) is not None), event)


def field(holder: object, name: str) -> Any:
    """Return a field of decoded JSON or of an object; None if it is missing."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def total_of(usage: object) -> int:
    """Return the number of all tokens in a usage."""
    counts = (field(usage, name) for name in _COUNTS)
    return sum(count for count in counts if isinstance(count, int))


def is_final(event: object) -> bool:
    """Return whether an event's usage is final, not an interim count."""
    choices = field(event, "choices")
    if choices is not None:
        return all(field(choice, "finish_reason") for choice in choices)
    kind = field(event, "type") or field(event, "event")
    return not isinstance(kind, str) or kind.endswith(_FINAL)
