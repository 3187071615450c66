"""The table of one analysis: time, calls, tokens and dollars of every stage."""

from __future__ import annotations

from decimal import Decimal

from rich.table import Table
from rich.text import Text

from .database import PICO, Analysis, Row

COLUMNS = ("seconds", "calls", "attempts", "429s", "input", "cached", "output", "dollars")
COUNTED = ("calls", "attempts", "rate_limited", "input_tokens", "cached_tokens", "output_tokens")


def cost_table(analysis: Analysis, gap: int) -> Table:
    """Return a table with one line a stage, grouped by kind of run, and the sum; `gap` separates columns."""
    table = Table(box=None, header_style="dim", padding=(0, gap, 0, 0))
    table.add_column("run")
    table.add_column("stage")
    for title in COLUMNS:
        table.add_column(title, justify="right")
    for kind in dict.fromkeys(stage["kind"] for stage in analysis.stages):
        _add_kind(table, kind, [stage for stage in analysis.stages if stage["kind"] == kind])
    table.add_section()
    table.add_row("total", "", *_cells(_total(analysis)), style="bold")
    return table


def dollars(amount: Decimal) -> str:
    """Format an amount, rounded to a millionth of a dollar."""
    return f"${amount:.6f}"


def _add_kind(table: Table, kind: str, stages: list[Row]) -> None:
    for number, stage in enumerate(stages):
        table.add_row(Text(kind if number == 0 else "", "cyan"), stage["stage"], *_cells(stage))


def _cells(row: Row) -> list[Text]:
    counts = [Text(f"{row[name]:,}" if row["calls"] else "") for name in COUNTED]
    if row["rate_limited"]:
        counts[COUNTED.index("rate_limited")].stylize("yellow")
    money = dollars(row["pico"] * PICO) if row["calls"] else ""
    return [Text(f"{row['duration_us'] / 1e6:.2f}"), *counts, Text(money.lstrip("$"), "green")]


def _total(analysis: Analysis) -> Row:
    names = (*COUNTED, "duration_us", "pico")
    return {name: sum(run[name] or 0 for run in analysis.runs.values()) for name in names}
