"""What waits in the spool: the state of a fragment, or an event about warnings."""

from __future__ import annotations

from typing import TypeAlias

from .snapshot import Snapshot, read_object
from .warning_event import MARK, WarningEvent

Item: TypeAlias = Snapshot | WarningEvent


def read_item(text: str) -> Item:
    """Read what ``to_json`` wrote.

    Raises:
        NewerSnapshot: when a newer version wrote it.
        ValueError: when it is truncated, or something else.
    """
    state = read_object(text)
    return WarningEvent.from_state(state[MARK]) if MARK in state else Snapshot.from_state(state)
