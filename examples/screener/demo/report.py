"""The report: what each analysis cost and where, how the candidates did, what went wrong, and who agrees."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .chart import score_chart
from .costs import cost_table, dollars
from .database import PICO, Analysis
from .figures import Line, Source
from .problems import problems
from .submission import Submitted

LABELS = {
    "calls": "OpenAI calls",
    "attempts": "HTTP attempts",
    "rate_limited": "answered 429",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cached_tokens": "of them cached",
    "dollars": "dollars",
}
STATUS_STYLES = {"completed": "green", "partial_failure": "yellow"}


def print_report(
    console: Console,
    analyses: Sequence[Analysis],
    submitted: Sequence[Submitted],
    unaccounted: dict[str, int],
) -> None:
    """Print everything about the analyses themselves."""
    places = {each.analysis: each.place for each in submitted}
    for analysis in analyses:
        _section(
            console, f"Analysis {analysis.id}", _about(analysis, places[analysis.id]), cost_table(analysis)
        )
    _section(console, "Scores", score_chart(analyses))
    _section(console, "Problems met", problems(analyses, submitted, unaccounted))


def print_agreement(console: Console, sources: Sequence[Source], lines: Sequence[Line]) -> None:
    """Print the totals of all sources side by side."""
    table = _table("", *(source.name for source in sources), "")
    for line in lines:
        mark = Text("✓", "bold green") if line.agrees else Text("✗ differs", "bold red")
        table.add_row(LABELS[line.name], *map(_exact, line.values), mark)
    _section(console, "Totals", table)


def print_outlook(console: Console, database: Path, ledger: Path | None) -> None:
    """Say where everything is and how to go on."""
    query = "SELECT id, status, api_calls_made, total_api_cost FROM analyses"
    steps = Table.grid(padding=(0, 2))
    steps.add_row("database", str(database))
    if ledger:
        steps.add_row("ledger", str(ledger))
    steps.add_row("look into it", f'sqlite3 -box {database.name} "{query}"')
    steps.add_row("", f'sqlite3 -box {database.name} "SELECT * FROM telemetry_stage_usage"')
    steps.add_row("in the browser", "make demo-serve")
    steps.add_row("all tests", "make test")
    steps.columns[0].style = "dim"
    _section(console, "How to go on", steps)


def _section(console: Console, title: str, *content: RenderableType) -> None:
    console.print()
    console.print(Rule(Text(title, "bold"), align="left", style="dim"))
    console.print(Padding(Group(*content), (0, 1), expand=False))


def _about(analysis: Analysis, place: str) -> Text:
    row, status = analysis.row, str(analysis.row["status"])
    return Text.assemble(
        (row["job_title"], "bold"),
        f" · {row['num_candidates']} résumés × {row['num_criteria']} criteria · in the {place} · ",
        (status.replace("_", " "), STATUS_STYLES.get(status, "red")),
        f" · {dollars(sum(run['pico'] for run in analysis.runs.values()) * PICO)}",
    )


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if 0 < number < len(titles) - 1 else "left")
    return table


def _exact(value: int | Decimal) -> str:
    return f"{value:.12f}" if isinstance(value, Decimal) else f"{value:,}"
