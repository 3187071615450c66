"""One run of the demo, which many tests examine."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.demo.runs import processes_of, start_demo

PAGES = {"screener": "/sign-in", "metrics": ""}
"""What is opened at each printed address."""


@dataclass(frozen=True)
class Finished:
    """A demo that has ended."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    left: dict[int, str]
    """Commands of the processes that were left, by process id."""
    pages: dict[str, str]
    """What it answered, by name of the address that it printed."""
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
    folder, done, left, pages = runs.shared("demo", _serve)
    with closing(sqlite3.connect(folder / "screener.sqlite")) as database:
        yield Finished(folder, done, left, pages, database)


def _serve() -> tuple[Path, subprocess.CompletedProcess[str], dict[int, str], dict[str, str]]:
    """Run it with `--serve`, open the pages of which it prints the addresses, and send Ctrl-C."""
    folder, output, pages = runs.folder() / "demo", "", {}
    folder.mkdir()
    with (folder / "errors").open("w+") as errors, start_demo(folder, "--serve", stderr=errors) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            output += line
            if "stop it" in line:
                break
        for name, page in PAGES.items():
            (address,) = re.findall(rf"^ *{name} +(http\S+)", output, re.MULTILINE) or [None]
            if address:
                with urllib.request.urlopen(address + page, timeout=300) as answer:
                    pages[name] = answer.read().decode()
        demo.send_signal(signal.SIGINT)
        output += demo.communicate()[0]
        left = processes_of(folder)
    done = subprocess.CompletedProcess(demo.args, demo.returncode, output, (folder / "errors").read_text())
    return folder, done, left, pages
