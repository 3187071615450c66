"""Checks every field of an entry that was read from the disk.

Later code relies on that: it makes paths and keys of names, and dates of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from typing import Any, Final, get_type_hints

from exporters.rollup.snapshot import USAGE_SUMS, Snapshot
from telemetry._internal.values import LARGEST

from .warning_event import WarningEvent

_ID: Final = re.compile(r"[0-9a-f]{32}")
_TIMES: Final = ("opened_at", "taken_at", "closed_at", "enqueued_at")


def check(entry: Snapshot | WarningEvent) -> None:
    """Check that ``entry`` is one that telemetry could have written.

    Raises:
        ValueError: if it cannot; the message names the field.
    """
    if isinstance(entry, WarningEvent):
        _check_fields(entry, ("event_id", "happened_at"))
        _require_id("event_id", entry.event_id)
        _require("happened_at", entry.happened_at >= 0)
        _check_fields(entry.warned)
        return
    _check_fields(entry)
    for name in ("run_id", "fragment_id"):
        _require_id(name, getattr(entry, name))
    for name in _TIMES:
        _require(name, (getattr(entry, name) or 0) >= 0)
    _require("closed_at", entry.closed_at is None or entry.closed_at >= entry.opened_at)
    _check_usage(entry)
    for document in entry.documents or ():
        _check_fields(document)


def _check_usage(entry: Snapshot) -> None:
    for key, usage in entry.usage.items():
        _require("usage", _are_texts(*key))
        _check_fields(usage)
        _require("usage", all(getattr(usage, name) >= 0 for name in USAGE_SUMS))
    for name, count in entry.counters.items():
        _require("counters", _are_texts(name) and _is_whole(count))
    for kinds, count in entry.errors.items():
        _require("errors", _are_texts(*kinds) and _is_whole(count))


def _check_fields(instance: Any, names: Iterable[str] = ()) -> None:
    for name, kinds in _kinds(instance.__class__).items():
        if not names or name in names:
            value = getattr(instance, name)
            _require(name, type(value) in kinds and (type(value) is not int or _is_whole(value)))


@cache
def _kinds(of: Any) -> dict[str, tuple[type, ...]]:
    """Return the types that each field of a dataclass may have."""
    hints = get_type_hints(of)
    kinds = {}
    for field in fields(of):
        hint = hints[field.name]
        members = getattr(hint, "__args__", (hint,)) if _is_union(hint) else (hint,)
        kinds[field.name] = tuple(getattr(member, "__origin__", member) for member in members)
    return kinds


def _is_union(hint: Any) -> bool:
    return not hasattr(hint, "__origin__") and hasattr(hint, "__args__")


def _are_texts(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_whole(value: Any) -> bool:
    return type(value) is int and -LARGEST <= value <= LARGEST


def _require_id(name: str, value: Any) -> None:
    _require(name, isinstance(value, str) and _ID.fullmatch(value) is not None)


def _require(name: str, is_so: bool) -> None:
    if not is_so:
        raise ValueError(f"not a snapshot: {name} is not as it should be")
