"""A table that fits any width: cells without room move below their row, so that nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

GAP: Final = 2
INDENT: Final = 2
BAR_WIDTH: Final = 24
_DOT: Final = " · "
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_NOTHING: Final = ("", "–")
"""Cells that are left out if their column has no room, as dim zeros are."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    is_number: bool = False
    """Whether it is aligned right."""
    rank: int = 0
    """Columns of the highest rank move below their row first; those of rank 0 stay as long as possible."""


@dataclass(frozen=True, slots=True)
class _Row:
    cells: list[Text]
    share: float
    colour: str
    notes: list[Text]


@dataclass(slots=True)
class Listing:
    """A table with a title and a head."""

    title: str
    columns: Sequence[Column]
    _rows: list[_Row] = field(default_factory=list)

    def add(
        self, *cells: str | Text, share: float = 0.0, colour: str = "", notes: Sequence[str | Text] = ()
    ) -> None:
        """Add a row.

        Args:
            cells: one for each column.
            share: length of its bar, from 0 to 1; bars are shown if there is room.
            colour: of its bar.
            notes: lines below it.
        """
        self._rows.append(_Row([_text(cell) for cell in cells], share, colour, [_text(n) for n in notes]))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines for the available width."""
        width = options.max_width
        widths = [max(len(column.name), *self._lengths(place)) for place, column in enumerate(self.columns)]
        kept = self._kept(widths, width)
        yield Text(self.title, "bold")
        yield self._line([Text(self.columns[place].name, "dim") for place in kept], kept, widths)
        with_bars = _total(widths, kept) + GAP + BAR_WIDTH <= width and any(row.share for row in self._rows)
        below = [place for place in range(len(self.columns)) if place not in kept]
        for row in self._rows:
            line = self._line([row.cells[place] for place in kept], kept, widths)
            if with_bars:
                line.append(" " * GAP).append(bar(row.share), row.colour)
            line.rstrip()
            yield line
            yield from self._below(row, below, width)
            for note in row.notes:
                yield Indented(note)

    def _lengths(self, place: int) -> list[int]:
        return [row.cells[place].cell_len for row in self._rows] or [0]

    def _kept(self, widths: Sequence[int], width: int) -> list[int]:
        """Return the positions of the columns that fit in a line."""
        kept = list(range(len(self.columns)))
        while _total(widths, kept) > width and len(kept) > 1:
            kept.remove(max(kept, key=lambda place: (self.columns[place].rank, place)))
        return kept

    def _line(self, cells: Sequence[Text], kept: Sequence[int], widths: Sequence[int]) -> Text:
        line = Text(overflow="fold")
        for number, (cell, place) in enumerate(zip(cells, kept, strict=True)):
            room = " " * (widths[place] - cell.cell_len)
            line.append(" " * GAP if number else "")
            is_number = self.columns[place].is_number
            line.append(room if is_number else "").append_text(cell).append("" if is_number else room)
        return line

    def _below(self, row: _Row, places: Sequence[int], width: int) -> Iterator[RenderableType]:
        """Yield lines with the cells that do not fit in the row, each with the name of its column."""
        line = Text()
        for place in places:
            cell = row.cells[place]
            if cell.plain.strip() in _NOTHING or (cell.plain == "0" and cell.style == "dim"):
                continue
            part = Text.assemble((f"{self.columns[place].name} ", "dim"), (cell.plain.strip(), cell.style))
            if line and INDENT + line.cell_len + len(_DOT) + part.cell_len > width:
                yield Indented(line)
                line = Text()
            line.append(_DOT if line else "", "dim").append_text(part)
        if line:
            yield Indented(line)


@dataclass(frozen=True, slots=True)
class Indented:
    """An indented text; words that are too long are folded."""

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        width = max(options.max_width - INDENT, 1)
        for line in self.text.wrap(console, width, overflow="fold"):
            line.rstrip()
            yield Text(" " * INDENT).append_text(line)


def _total(widths: Sequence[int], kept: Sequence[int]) -> int:
    return sum(widths[place] for place in kept) + GAP * (len(kept) - 1)


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def bar(share: float, width: int = BAR_WIDTH) -> str:
    """Return a bar of blocks, which is visible for any share above 0."""
    eighths = max(round(share * width * 8), 1 if share > 0 else 0)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
