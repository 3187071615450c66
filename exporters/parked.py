"""Snapshots that the database refuses for good, set aside in the spool for a person to look at."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .item import Item, read_item
from .snapshot import Snapshot

DEAD: Final = "dead"

_log = logging.getLogger("telemetry")


@dataclass(frozen=True, slots=True)
class Parked:
    """One of them: a file, and beside it another with the reason."""

    path: Path

    @property
    def fragment_id(self) -> str:
        """Which fragment it is of."""
        return self.path.stem

    @property
    def reason(self) -> str:
        """Type of the error with which the database refused it; empty when nobody wrote it down."""
        note = self.path.with_suffix(".reason")
        return note.read_text().strip() if note.exists() else ""

    @property
    def since(self) -> datetime:
        """When it was set aside."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)

    def item(self) -> Item:
        """Return what it holds.

        Raises:
            ValueError: when that is neither a snapshot nor an event.
            OSError: when it cannot be read.
        """
        return read_item(self.path.read_text())

    def drop(self) -> None:
        """Remove it for good."""
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".reason").unlink(missing_ok=True)


def park(root: Path, item: Item, reason: str) -> None:
    """Set ``item`` aside below the spool's ``root``, and say so."""
    place = root / DEAD
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{item.fragment_id}.json"
    replace_file(path.with_suffix(".reason"), f"{reason}\n")
    replace_file(path, item.to_json())
    _log.error(
        "telemetry could not store %s (%s); it is kept in %s (flask telemetry spool list)",
        f"the rollup of run {item.run_id}" if isinstance(item, Snapshot) else f"warning {item.event_id}",
        reason,
        place,
    )


def parked(root: Path) -> Iterator[Parked]:
    """Yield what is set aside below the spool's ``root``."""
    for path in sorted((root / DEAD).glob("*.json")):
        yield Parked(path)


def replace_file(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)
