"""The report: costs of each analysis by stage, scores, problems, and whether the sources agree."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from examples.screener.auth import ADMIN_EMAIL, PASSWORD, USER_EMAIL

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
    "cached_tokens": "of them cached",
    "output_tokens": "output tokens",
    "dollars": "dollars",
}
COMFORTABLE = 92
"""Columns from which on the tables are laid out with wider gaps."""
STATUS_STYLES = {"completed": "green", "partial_failure": "yellow"}


def print_report(
    console: Console,
    analyses: Sequence[Analysis],
    submitted: Sequence[Submitted],
    unaccounted: dict[str, int],
) -> None:
    """Print costs, scores and problems of the analyses."""
    places = {each.analysis: each.place for each in submitted}
    gap = 2 if console.width >= COMFORTABLE else 1
    for analysis in analyses:
        about, costs = _about(analysis, places[analysis.id]), cost_table(analysis, gap)
        _section(console, f"Analysis {analysis.id}", about, Text(), costs)
    _section(console, "Scores", score_chart(analyses))
    _section(console, "Problems met", problems(analyses, submitted, unaccounted))


def print_agreement(console: Console, sources: Sequence[Source], lines: Sequence[Line]) -> None:
    """Print the totals of all sources side by side, and whether they agree."""
    table = _table("", *(source.name for source in sources), "")
    for line in lines:
        mark = Text("✓", "bold green") if line.agrees else Text("✗", "bold red")
        table.add_row(LABELS[line.name], *map(_exact, line.values), mark)
    _section(console, "Totals", table, Text(), _verdict(sources, lines))


def print_outlook(console: Console, database: Path, ledger: Path | None) -> None:
    """Print where the files are, and what to do next."""
    path = shlex.quote(_short(database))
    steps = Table.grid(padding=(0, 2))
    steps.add_row("database", _short(database))
    if ledger:
        steps.add_row("ledger", _short(ledger))
    steps.add_row("ask it", f'sqlite3 -box {path} "SELECT id, total_api_cost FROM analyses"')
    steps.add_row("", f'sqlite3 -box {path} "SELECT kind, cost_pico FROM telemetry_runs"')
    steps.add_row("look around", "make demo-serve   the same, and the screener stays open for the browser")
    steps.add_row("test it", "make test")
    steps.columns[0].style = "dim"
    _section(console, "How to go on", steps)


def print_invitation(console: Console, url: str, metrics: Sequence[str]) -> None:
    """Print the address of the running screener, and how to sign in."""
    places = Table.grid(padding=(0, 2))
    places.add_row("screener", Text(url, "bold"))
    places.add_row("sign in as", f"{USER_EMAIL} or {ADMIN_EMAIL}, password {PASSWORD}")
    for number, address in enumerate(metrics):
        places.add_row("" if number else "metrics", address)
    places.add_row("stop it", "Ctrl-C")
    places.columns[0].style = "dim"
    _section(console, "Open in the browser", places)


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


def _verdict(sources: Sequence[Source], lines: Sequence[Line]) -> Text:
    wrong = [LABELS[line.name] for line in lines if not line.agrees]
    names = " and ".join(", ".join(source.name for source in sources).rsplit(", ", 1))
    if wrong:
        return Text(f"✗ {names} differ in: {', '.join(wrong)}", "bold red")
    return Text(f"✓ {names} agree on every call, every token and every fraction of a cent", "green")


def _short(path: Path) -> str:
    """Return a path relative to the working directory, where possible."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _table(*titles: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if 0 < number < len(titles) - 1 else "left")
    return table


def _exact(value: int | Decimal) -> str:
    return f"{value:.12f}" if isinstance(value, Decimal) else f"{value:,}"
