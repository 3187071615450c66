"""The quarantine: entries that the database refuses for good, until an operator retries or drops them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from exporters.rollup.snapshot import Snapshot

from .entry import ANY, Entry, Target
from .private import is_own_directory, make_directory, read_text, replace_file
from .unreadable import read_entry

DEAD: Final = "dead"

_log = logging.getLogger("telemetry")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry in quarantine, which is a file, with the reason in another file beside it."""

    path: Path
    is_shielded: bool = False
    """Whether its directory has always been closed to others; then its mode does not matter."""

    @property
    def fragment_id(self) -> str:
        """Id of the fragment, or of the warning event."""
        return self.path.stem

    @property
    def reason(self) -> str:
        """Type of the error with which the database refused it; empty if unknown."""
        note = self.path.with_suffix(".reason")
        try:
            return read_text(note, is_shielded=True).strip()
        except (OSError, ValueError):
            return ""

    @property
    def since(self) -> datetime:
        """When it was put into quarantine."""
        return datetime.fromtimestamp(self.path.lstat().st_mtime, UTC)

    def read(self, target: Target = ANY, is_ours: Callable[[str], bool] | None = None) -> Entry:
        """Return the entry.

        Args:
            target: the database to which the entry must belong.
            is_ours: returns whether entries of a database user go into the same tables; default: none do.

        Raises:
            ForeignEntry: if it is for tables of another user.
            ValueError: if it is no valid entry, or is for another database.
            OSError: if it cannot be read, or others may have written it.
        """
        return read_entry(self.path, target, is_ours, is_shielded=self.is_shielded)

    def drop(self) -> None:
        """Remove the entry for good."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".reason").unlink(missing_ok=True)


def quarantine(root: Path, entry: Entry, reason: str, target: Target = ANY) -> None:
    """Put an entry for ``target`` into the quarantine below ``root``, and log that."""
    place = root / DEAD
    make_directory(place)
    path = place / f"{entry.fragment_id}.json"
    replace_file(path.with_suffix(".reason"), f"{reason}\n")
    replace_file(path, target.write(entry))
    _log.error(
        "telemetry could not store %s (%s); it is in quarantine, in %s (flask telemetry spool list)",
        f"the rollup of run {entry.run_id}" if isinstance(entry, Snapshot) else f"warning {entry.event_id}",
        reason,
        place,
    )


def quarantined(root: Path) -> Iterator[Quarantined]:
    """Yield the entries in the quarantine below ``root``, the folder of a database."""
    if is_own_directory(root / DEAD):
        for path in sorted((root / DEAD).glob("*.json")):
            yield Quarantined(path)
