"""What waits in the spool: the state of a fragment, or an event about warnings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from exporters.rollup.snapshot import Snapshot, read_object

from .warning_event import MARK, WarningEvent
from .well_formed import check

Entry: TypeAlias = Snapshot | WarningEvent

DATABASE: Final = "database"
USER: Final = "database_user"
"""Keys of the JSON object under which it says which database it is for."""


class ForeignEntry(Exception):
    """An entry for tables that another user of the same database writes to; it is left to that user."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which database entries are for."""

    key: str = ""
    """Empty: of any."""
    user: str = ""
    """Whose schema may decide which tables of it; empty: nobody's."""

    def write(self, entry: Entry) -> str:
        """Return ``entry`` as one JSON object that says that it is for this database."""
        text = entry.to_json()
        if not self.key:
            return text
        user = f'"{USER}":{json.dumps(self.user)},' if self.user else ""
        return f'{{"{DATABASE}":"{self.key}",{user}{text[1:]}'


ANY: Final = Target()


def parse_entry(text: str, target: Target = ANY, is_ours: Callable[[str], bool] | None = None) -> Entry:
    """Read what :meth:`Target.write` wrote; earlier versions did not say for which database.

    Args:
        text: of the file.
        target: the database that it has to be for.
        is_ours: says whether what another user left goes into the same tables; default: none of it.

    Raises:
        NewerSnapshot: when a newer version wrote it.
        ForeignEntry: when it is for tables of another user.
        ValueError: when it is truncated, something else, or for another database.
    """
    state = read_object(text)
    key, user = state.pop(DATABASE, None), state.pop(USER, None)
    if target.key and key not in (None, target.key):
        raise ValueError("it is for another database")
    entry = WarningEvent.from_state(state[MARK]) if MARK in state else Snapshot.from_state(state)
    check(entry)
    if user not in (None, target.user) and target.key and not (is_ours and is_ours(str(user))):
        raise ForeignEntry(f"it is for the tables of user {user}")
    return entry
