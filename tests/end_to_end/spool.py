"""What waits for the database, of living and of dead processes."""

from __future__ import annotations

import glob
from pathlib import Path

from exporters.item import read_item
from exporters.snapshot import Snapshot


def waiting(spool: Path) -> list[Path]:
    """The files of snapshots, and of events about warnings, that no database has taken."""
    # Not Path.glob, which fails when a directory goes meanwhile; hidden files are left out.
    return [Path(found) for found in glob.glob(f"{glob.escape(str(spool))}/*/*/*.json")]


def snapshots(spool: Path) -> list[Snapshot]:
    """What those snapshots say; one that was delivered meanwhile is left out."""
    items = [read_item(text) for path in waiting(spool) if (text := _text_of(path))]
    return [item for item in items if isinstance(item, Snapshot)]


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
