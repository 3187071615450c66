"""Tables, paragraphs and counts in the output of commands; plain text in a pipe."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

import click

GAP: Final = "  "
FALLBACK: Final = 80
"""Width of a terminal that does not report it."""
NARROWEST: Final = 20
"""Minimum width of folded text."""


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 run``, ``1,204 runs``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def table(titles: Sequence[str], rows: Sequence[Sequence[object]], nothing: str) -> None:
    """Print rows in columns under their titles.

    Numbers are aligned right. On a terminal that is too narrow the last column is folded, so that nothing is
    cut off; in a pipe each row is one line.

    Args:
        titles: of the columns; ``>`` at the start aligns a column right, as columns of integers always are.
        rows: of cells.
        nothing: printed if there are no rows.
    """
    if not rows:
        click.echo(nothing)
        return
    columns = list(zip(*rows, strict=True))
    right = [
        title.startswith(">") or all(type(cell) is int for cell in column)
        for title, column in zip(titles, columns, strict=True)
    ]
    texts = [[f"{cell:,}" if type(cell) is int else str(cell) for cell in row] for row in rows]
    names = [title.removeprefix(">") for title in titles]
    widths = [max(map(len, column)) for column in zip(names, *texts, strict=True)]
    click.secho(_line(names, widths, right), bold=True)
    for row in texts:
        for cells in _folded(row, widths, is_folding=not right[-1]):
            click.echo(_line(cells, widths, right))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    placed = zip(cells, widths, right, strict=True)
    return GAP.join(
        cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in placed
    ).rstrip()


def _folded(row: Sequence[str], widths: Sequence[int], *, is_folding: bool) -> Iterator[Sequence[str]]:
    room = terminal_width()
    before = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    if not is_folding or room is None or before + len(row[-1]) <= room:
        yield row
        return
    first, *rest = textwrap.wrap(row[-1], max(room - before, NARROWEST), break_on_hyphens=False) or [""]
    yield [*row[:-1], first]
    for line in rest:
        yield [*[""] * (len(row) - 1), line]


def paragraph(text: str, indent: str = "  ") -> None:
    """Print a text, folded and indented on a terminal, and as one line in a pipe."""
    room = terminal_width()
    if room is None:
        click.echo(indent + text)
        return
    lines = textwrap.wrap(text, room, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    click.echo("\n".join(lines))


def terminal_width() -> int | None:
    """Return the width of the terminal; None without one.

    This uses the output of the command: file descriptor 1 may be that of the application.
    """
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    try:
        columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(columns, NARROWEST) if columns > 0 else FALLBACK
