"""Files in the spool that do not belong there: of another tenant, of another user, or damaged."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import parse_entry
from exporters.spool.takeover import LOCK

ANOTHER_USER: Final = 65534
DOLLARS: Final = 999
"""The cost that a forged run claims."""


def misplace(file: Path, folder: Path) -> None:
    """Copy a snapshot into the folder of another tenant's database, as if a dead process had left it."""
    with _DeadProcess(folder) as process, suppress(FileNotFoundError):
        (process / file.name).write_bytes(file.read_bytes())


def forge(file: Path, folder: Path) -> str | None:
    """Forge an expensive run of another user from a snapshot, and return its id.

    Returns None unless the tests run as root, who alone can change the owner of files.
    """
    if os.geteuid() != 0:
        return None
    try:
        snapshot = parse_entry(file.read_text())
    except (FileNotFoundError, ValueError, RecursionError):  # delivered meanwhile, or damaged as below
        return None
    if not isinstance(snapshot, Snapshot):
        return None
    usage = {key: replace(sums, cost_pico=DOLLARS * 10**12) for key, sums in snapshot.usage.items()}
    run_id, fragment_id = uuid.uuid4().hex, uuid.uuid4().hex
    text = replace(snapshot, run_id=run_id, fragment_id=fragment_id, usage=usage).to_json()
    with _DeadProcess(folder) as process:
        forged = process / f"{fragment_id}.json"
        forged.write_text(text)
        for path in (forged, process / LOCK, process):
            os.chown(path, ANOTHER_USER, ANOTHER_USER)
    return run_id


def damage(folder: Path) -> None:
    """Write damaged files, which must not make a reader fail."""
    with _DeadProcess(folder) as process:
        for damage_file in _DAMAGES:
            damage_file(process / f"{uuid.uuid4().hex}.json")


def _nest(path: Path) -> None:
    path.write_text("[" * 9000)


def _truncate(path: Path) -> None:
    path.write_text('{"version": 1, "run_id": "')


def _bytes(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


_DAMAGES: Final[tuple[Callable[[Path], object], ...]] = (
    _nest,
    _truncate,
    _bytes,
    _link,
    os.mkfifo,
    Path.mkdir,
)


class _DeadProcess:
    """A directory as a killed process leaves it, which appears atomically."""

    def __init__(self, folder: Path) -> None:
        self._hidden, self._folder = folder / f".{uuid.uuid4().hex}", folder

    def __enter__(self) -> Path:
        self._hidden.mkdir(mode=0o700, parents=True)
        (self._hidden / LOCK).touch(mode=0o600)
        return self._hidden

    def __exit__(self, *exception: object) -> None:
        self._hidden.rename(self._folder / self._hidden.name[1:])
