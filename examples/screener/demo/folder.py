"""The folder that the demo writes to: DEMO_DIR, by default ``demo-data/``."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL

from .errors import DemoError

LOGS = ("set-up", "stand-in", "app", "worker")
"""The processes that keep a log."""


class Folder:
    """The folder of the demo's database, logs, spool and ledger."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.database = self.path / "screener.sqlite"
        self.spool = self.path / "spool"
        self.ledger = self.path / "ledger.json"
        self.faults = self.path / "faults.json"
        self.port_file = self.path / "stand-in.port"
        self._mark = self.path / ".made-by-demo"

    @classmethod
    def from_environment(cls) -> Folder:
        """Return the folder that DEMO_DIR names."""
        return cls(Path(os.environ.get("DEMO_DIR") or "demo-data"))

    @property
    def database_url(self) -> str:
        """The database as a SQLAlchemy URL."""
        return URL.create("sqlite", database=str(self.database)).render_as_string()

    def log(self, name: str) -> Path:
        """Return the path of a process's log."""
        return self.path / f"{name}.log"

    @contextmanager
    def claimed(self) -> Iterator[bool]:
        """Lock the folder and remove the files of an earlier demo; yields whether there were any.

        Raises:
            DemoError: it cannot be written to, another demo uses it, or it has files of the same names
                that no demo has created.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._refuse_strangers()
            mark = self._mark.open("a")
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        with mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._unusable("another demo is at work in it") from None
            yield self._clear()

    def _refuse_strangers(self) -> None:
        """Refuse a folder with such files but without the mark of the demo."""
        if self._mark.exists():
            return
        for path in self._made():
            if path.exists():
                raise self._unusable(f"{path.name} in it was not made by the demo")

    def _clear(self) -> bool:
        is_again = self.database.exists()
        for path in self._made():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return is_again

    def _made(self) -> list[Path]:
        journals = [self.database.with_name(self.database.name + end) for end in ("-wal", "-shm", "-journal")]
        logs = [self.log(name) for name in LOGS]
        return [self.database, *journals, self.spool, self.ledger, self.faults, self.port_file, *logs]

    def _unusable(self, reason: str) -> DemoError:
        return DemoError(
            f"DEMO_DIR={self.path} cannot be used: {reason}. Name another folder with DEMO_DIR=…"
        )
