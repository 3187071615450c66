"""Snapshots that the database refuses for good, set aside in the spool for a person to look at."""

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
    """One of them: a file, and beside it another with the reason."""

    path: Path
    is_shielded: bool = False
    """Whether nobody else could ever reach it, whatever its mode."""

    @property
    def fragment_id(self) -> str:
        """Which fragment it is of."""
        return self.path.stem

    @property
    def reason(self) -> str:
        """Type of the error with which the database refused it; empty when nobody wrote it down."""
        note = self.path.with_suffix(".reason")
        try:
            return read_text(note, is_shielded=True).strip()
        except (OSError, ValueError):
            return ""

    @property
    def since(self) -> datetime:
        """When it was set aside."""
        return datetime.fromtimestamp(self.path.lstat().st_mtime, UTC)

    def read(self, target: Target = ANY, is_ours: Callable[[str], bool] | None = None) -> Entry:
        """Return what it holds.

        Args:
            target: the database that it has to be for.
            is_ours: says whether what another user left goes into the same tables; default: none of it.

        Raises:
            ForeignEntry: when it is for tables of another user.
            ValueError: when that is neither a snapshot nor an event, or for another database.
            OSError: when it cannot be read, or others may have written it.
        """
        return read_entry(self.path, target, is_ours, is_shielded=self.is_shielded)

    def drop(self) -> None:
        """Remove it for good."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".reason").unlink(missing_ok=True)


def quarantine(root: Path, entry: Entry, reason: str, target: Target = ANY) -> None:
    """Set ``entry``, which is for ``target``, aside below the spool's ``root``, and say so."""
    place = root / DEAD
    make_directory(place)
    path = place / f"{entry.fragment_id}.json"
    replace_file(path.with_suffix(".reason"), f"{reason}\n")
    replace_file(path, target.write(entry))
    _log.error(
        "telemetry could not store %s (%s); it is kept in %s (flask telemetry spool list)",
        f"the rollup of run {entry.run_id}" if isinstance(entry, Snapshot) else f"warning {entry.event_id}",
        reason,
        place,
    )


def quarantined(root: Path) -> Iterator[Quarantined]:
    """Yield what is set aside below the spool's ``root``."""
    if is_own_directory(root / DEAD):
        for path in sorted((root / DEAD).glob("*.json")):
            yield Quarantined(path)
