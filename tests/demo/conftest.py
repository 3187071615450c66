"""One run of the demo, which many tests examine."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.demo.runs import processes_of, run_demo


@dataclass(frozen=True)
class Finished:
    """A demo that has ended."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    left: dict[int, str]
    """Commands of the processes that were left, by process id."""
    database: sqlite3.Connection

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """The attempts that the stand-in received."""
        attempts: list[dict[str, Any]] = json.loads((self.folder / "ledger.json").read_text())["attempts"]
        return attempts

    def row(self, query: str) -> tuple[Any, ...]:
        """Return the first row of a query."""
        row: tuple[Any, ...] = self.database.execute(query).fetchone()
        return row


@pytest.fixture(scope="session")
def finished() -> Iterator[Finished]:
    """The demo after its end; it runs once for all processes of the test run."""
    folder, done, left = runs.shared("demo", _run)
    with closing(sqlite3.connect(folder / "screener.sqlite")) as database:
        yield Finished(folder, done, left, database)


def _run() -> tuple[Path, subprocess.CompletedProcess[str], dict[int, str]]:
    folder = runs.folder() / "demo"
    folder.mkdir()
    done = run_demo(folder)
    return folder, done, processes_of(folder)
