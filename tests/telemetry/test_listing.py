"""Tables that commands print fit the terminal; in a pipe they have one line a row."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ

import pytest

from telemetry.cli.listing import count

PROGRAM = """
from telemetry.cli.listing import paragraph, table
text = "a meaning of more words than fit into the last column of a terminal"
rows = [("a", "1.5", 1234567, text), ("bcd", "10.5", 2, "short")]
table(("name", ">mean", "calls", "meaning"), rows, "None.")
paragraph(text)
table(("name",), [], "None.")
"""


def piped() -> str:
    return subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout


def on_a_terminal(width: int) -> str:
    controlling, terminal_end = pty.openpty()
    ioctl(terminal_end, TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=terminal_end, stdin=terminal_end, env=known
    ):
        os.close(terminal_end)
        shown = b"".join(iter(lambda: _read(controlling), b""))
    os.close(controlling)
    return re.sub(r"\x1b\[[0-9;]*m|\r", "", shown.decode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports the end in this way
        return b""


def test_piped_table_has_one_line_a_row() -> None:
    """It is plain text, with numbers aligned."""
    assert piped().splitlines() == [
        "name  mean      calls  meaning",
        "a      1.5  1,234,567  a meaning of more words than fit into the last column of a terminal",
        "bcd   10.5          2  short",
        "  a meaning of more words than fit into the last column of a terminal",
        "None.",
    ]


@pytest.mark.parametrize("width", [44, 60, 80])
def test_table_fits_the_terminal(width: int) -> None:
    """No line is wider than the terminal, and no word is missing."""
    page = on_a_terminal(width)
    assert max(map(len, page.splitlines())) <= width
    assert sorted(page.split()) == sorted(piped().split())


def test_counted_nouns_are_singular_or_plural() -> None:
    """Only one is singular; large counts have separators."""
    assert [count(number, "run") for number in (0, 1, 2, 12345)] == [
        "0 runs",
        "1 run",
        "2 runs",
        "12,345 runs",
    ]
    assert count(2, "analysis", "analyses") == "2 analyses"
