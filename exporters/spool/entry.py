"""The entries of the spool: each is a snapshot of a fragment, or a warning event."""

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
"""Keys of the JSON object whose values name the database and the database user of an entry."""


class ForeignEntry(Exception):
    """Raised for an entry that another user of the same database has to deliver, to other tables."""


@dataclass(frozen=True, slots=True)
class Target:
    """The database to which entries are to be delivered."""

    key: str = ""
    """Empty if any database will do."""
    user: str = ""
    """The database user, on whose schema the tables may depend; empty if that does not matter."""

    def write(self, entry: Entry) -> str:
        """Return ``entry`` as one JSON object that names this database."""
        text = entry.to_json()
        if not self.key:
            return text
        user = f'"{USER}":{json.dumps(self.user)},' if self.user else ""
        return f'{{"{DATABASE}":"{self.key}",{user}{text[1:]}'


ANY: Final = Target()


def parse_entry(text: str, target: Target = ANY, is_ours: Callable[[str], bool] | None = None) -> Entry:
    """Parse what :meth:`Target.write` wrote. Earlier versions did not name the database.

    Args:
        text: the contents of a file.
        target: the database to which the entry must belong.
        is_ours: returns whether entries of a database user go into the same tables; default: none do.

    Raises:
        NewerSnapshot: if a newer version wrote it.
        ForeignEntry: if it is for tables of another user.
        ValueError: if it is truncated, is no entry, or is for another database.
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
