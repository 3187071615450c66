"""The scores of the candidates of each analysis, as bars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from .database import Analysis

STEP = 10
"""Width of a bar's range, in percent."""
WIDTH = 26
"""Maximum length of a bar, in characters."""
WIDEST = 4
"""Maximum characters per candidate, if there are few."""
EIGHTHS = " ▏▎▍▌▋▊▉█"


def score_chart(analyses: Sequence[Analysis]) -> Table:
    """Return a column of bars for each analysis, best scores on top, in the colours of the three bands."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("score", justify="right")
    counts = [Counter(_range(score) for score in analysis.scores) for analysis in analyses]
    for analysis in analyses:
        table.add_column(f"analysis {analysis.id}", width=WIDTH + 4)
    for start in _ranges(counts):
        bars = [_bar(count[start], max(count.values()), start) for count in counts]
        table.add_row(f"{start}–{start + STEP}", *bars)
    table.add_row("", *(Text(_bands(analysis), "dim") for analysis in analyses))
    return table


def _ranges(counts: Sequence[Counter[int]]) -> range:
    """Return the ranges from the best score down to the worst."""
    reached = [start for count in counts for start in count]
    return range(max(reached), min(reached) - 1, -STEP) if reached else range(0)


def _range(score: float) -> int:
    """Return the beginning of a score's range; the best range includes 100 %."""
    return min(int(round(score * 10_000) // (STEP * 100)) * STEP, 100 - STEP)


def _bar(number: int, largest: int, start: int) -> Text:
    if number == 0:
        return Text("")
    unit = min(WIDTH / largest, WIDEST)
    whole, eighths = divmod(max(1, round(8 * unit * number)), 8)
    blocks = EIGHTHS[8] * whole + (EIGHTHS[eighths] if eighths else "")
    return Text.assemble((blocks, _colour(start)), f" {number}")


def _colour(start: int) -> str:
    return "green" if start >= 70 else "yellow" if start >= 50 else "red"


def _bands(analysis: Analysis) -> str:
    row = analysis.row
    return (
        f"≥70: {row['candidates_above_70_percent']} · 50–70: {row['candidates_50_to_70_percent']} · "
        f"<50: {row['candidates_below_50_percent']}"
    )
