"""The report on terminals of all widths: nothing is cut off, and no line is too long."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sqlalchemy.engine import Engine

from exporters.reports import Gap, Job, Money, Period, Range, Report, Spend, Usage, User
from exporters.reports.lines import GAPS
from exporters.sql.storage import runs as run_storage
from telemetry.cli.report_page.listing import Column, Listing
from telemetry.cli.report_page.lists import MISSING, SPENT_ON
from tests.exporters.makers import SECOND, Fragment, Host, call, failed_call, visit

HOSTS = ("sqlite",)
ROOT = Path(__file__).parents[2]
NOW = int(datetime.now(UTC).timestamp()) * SECOND
MODEL = "ft:gpt-4o-mini-2024-07-18:an-organization-of-a-long-name:a-suffix:9ABCdefg"
TRACE = "0af7651916cd43dd8448eb211c80319c"

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=30)
rows = st.integers(1, 6).flatmap(
    lambda width: st.lists(st.lists(words, min_size=width, max_size=width), min_size=1, max_size=4)
)


@given(rows, st.integers(20, 200), st.data())
def test_a_listing_keeps_to_its_width_and_shows_every_cell(
    cells: list[list[str]], width: int, data: st.DataObject
) -> None:
    """A cell that does not fit in its row is printed below."""
    count = len(cells[0])
    ranks = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    columns = [Column(f"c{place}", place % 2 == 1, rank) for place, rank in enumerate(ranks)]
    listing = Listing("Title", columns)
    for row in cells:
        listing.add(*row, share=0.5, notes=["a note of some length"])
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(listing)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    shown = "".join("".join(lines).split())
    assert all(cell in shown for row in cells for cell in row)


@pytest.fixture
def used(host: Host, engine: Engine) -> Host:
    """A failed run with two models, and another that cost very little."""
    failed = Fragment(
        analysis_id=2_147_483_647, user_id=2_147_483_647, opened_at=NOW - 60 * SECOND, candidates=300
    )
    failed.calls(
        call(pico=1234567 * 10**9), call(pico=None, model=MODEL), failed_call("ranking", "429", "500")
    )
    failed.accumulator.error("ranking", "openai.RateLimitError")
    small = Fragment(user_id=1, opened_at=NOW - 50 * SECOND, candidates=1).calls(call(pico=21))
    small.documents(visit("a.pdf", score=0.9))
    for snapshot in (replace(failed.close("failed"), trace_id=TRACE, trace_sampled=True), small.close()):
        run_storage.deliver(engine, snapshot)
    return host


def on_a_terminal(host: Host, width: int, *options: str, **environment: str) -> str:
    """Return what the command writes to a terminal of this width."""
    reader, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    known = {"TELEMETRY_DATABASE_URL": host.url, "TERM": "xterm-256color"}
    command = [str(Path(sys.executable).with_name("flask")), "telemetry", "report", *options]
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(command, stdout=terminal, env=inherited | known | environment):
        os.close(terminal)
        shown = b"".join(iter(lambda: _read(reader), b""))
    os.close(reader)
    return shown.decode().replace("\r", "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux raises this at the end
        return b""


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_of_any_width_shows_whole_words_in_colour(used: Host, width: int) -> None:
    """Names, identifiers and sums are not cut."""
    coloured = on_a_terminal(used, width)
    page = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert coloured != page
    assert max(map(len, page.splitlines())) <= width
    assert "…" not in page
    together = "".join(page.replace("│", " ").split())
    for whole in (
        *(TRACE, MODEL, "openai.RateLimitErrorinranking", "theapplicationsaidso", "$1,234.567000000021"),
        *("unknown", "ormore", "$1,234.57", "$0.000000000021", "2147483647"),
    ):
        assert whole in together, whole


def test_no_color_is_respected(used: Host) -> None:
    """The page has no colours if NO_COLOR is set."""
    assert "\x1b[3" not in on_a_terminal(used, 80, NO_COLOR="1")


def names(shape: type) -> Iterator[str]:
    yield from (field.name for field in fields(shape) if is_dataclass(shape))


def test_the_documentation_names_everything_in_the_report() -> None:
    """It has every name of the JSON, every line of the spending and every reason for a gap."""
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs/reference/report.md").read_text()))
    shapes = (Report, Range, Spend, Gap, Usage, Period, User, Job)
    assert {name for shape in shapes for name in names(shape)} - documented == set()
    assert set(names(Money)) <= {"pico", "complete"}
    assert set(SPENT_ON) | set(GAPS) <= documented
    assert set(MISSING) == set(GAPS)
