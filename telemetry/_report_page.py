"""The report on a terminal: in colour, with small charts; plain when it is piped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.bar import Bar
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

PIPED_WIDTH: Final = 140
CHART_WIDTH: Final = 30
STATUS_COLOURS: Final = {
    "completed": "green",
    "partial_failure": "yellow",
    "failed": "red",
    "interrupted": "red",
    "running": "cyan",
}
FAILED_SHARES: Final = (0.05, 0.2)
"""Above which a day is yellow, and red."""
HEALTH_COLOURS: Final = {"good": "green", "fair": "yellow", "poor": "red"}


def show(report: Any, *, failed: bool = False) -> None:
    """Print a report, as wide as the terminal."""
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else PIPED_WIDTH, highlight=False)
    period = f"Analyses from {report.first} to {report.last}"
    heading = period if report.analysis_id is None else f"Analysis {report.analysis_id}"
    console.print(Text(heading, "bold"))
    if report.analysis_id is None and not report.jobs and not report.cost_dollars:
        console.print("There were none.")
        return
    console.print(Columns([_totals(report), _quality(report), _sizes(report)]))
    for part in (_days(report.per_day), _stages(report.stages), _users(report.active_users)):
        if part is not None:
            console.print(part)
    console.print(_jobs(report.latest, "Latest failures" if failed else "Latest jobs"))


def _totals(report: Any) -> Panel:
    dollars = _spent(report.cost_dollars, " or more" if not report.cost_is_complete else "")
    return _panel(
        "Totals",
        ("jobs", f"{report.jobs:,}"),
        ("users", f"{report.users:,}"),
        ("candidates", f"{report.candidates:,}"),
        ("spent", dollars),
        ("a job", _dollars(report.cost_per_job)),
        ("a candidate", _dollars(report.cost_per_candidate)),
    )


def _quality(report: Any) -> Panel:
    health: RenderableType = "–"
    if report.health_score is not None:
        health = Text(f"{report.health_score:.0%} {report.health}", HEALTH_COLOURS[report.health])
    overrides = "–"
    if report.override_rate is not None:
        overrides = f"{report.overrides} of {report.over_limit} ({report.override_rate:.0%})"
    return _panel(
        "Quality",
        ("succeeded", _share(report.success_rate)),
        ("failed", f"{report.failed:,}"),
        *([("ending unknown", f"{report.unknown:,}")] if report.unknown else []),
        ("health", health),
        ("an answer takes", _seconds(report.response_seconds)),
        ("limit overridden", overrides),
        ("", Text(report.advice, "dim")),
    )


def _sizes(report: Any) -> Panel:
    return _panel(
        "Mean (least to most)",
        ("seconds a job", _range(report.seconds)),
        ("candidates a job", f"{_range(report.batch)}, median {_number(report.batch_median)}"),
        ("JD characters", _range(report.jd_characters)),
        ("résumé characters", _range(report.resume_characters)),
        ("jobs by candidates", "  ".join(f"{name}: {count}" for name, count in report.batches.items())),
    )


def _panel(title: str, *rows: tuple[str, RenderableType]) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", justify="right")
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=title, title_align="left", border_style="dim", expand=False)


def _days(days: Sequence[Any]) -> RenderableType | None:
    """A bar a day, coloured by the share of failed jobs; only from the first with jobs or money on."""
    first = next((number for number, day in enumerate(days) if day["jobs"] or day["cost_dollars"]), len(days))
    shown = days[first:]
    if len(shown) < 2:
        return None
    most = max(day["jobs"] for day in shown) or 1
    table = _table("Days", "day", ">jobs", ">failed", ">dollars", "")
    for day in shown:
        bar = Bar(most, 0, day["jobs"], width=CHART_WIDTH, color=_colour(day))
        failed = Text(str(day["failed"]), "red" if day["failed"] else "dim")
        table.add_row(f"{day['day']:%a %Y-%m-%d}", str(day["jobs"]), failed, _spent(day["cost_dollars"]), bar)
    return table


def _colour(day: Any) -> str:
    share = day["failed"] / day["jobs"] if day["jobs"] else 0.0
    return "red" if share > FAILED_SHARES[1] else "yellow" if share > FAILED_SHARES[0] else "green"


def _stages(stages: Sequence[Any]) -> RenderableType | None:
    if not stages:
        return None
    most = max(stage["cost_dollars"] for stage in stages) or 1.0
    table = _table("Stages", "stage", ">calls", ">errors", ">seconds", ">dollars", "")
    for stage in stages:
        bar = Bar(most, 0, stage["cost_dollars"], width=CHART_WIDTH, color="cyan")
        errors = Text(f"{stage['errors']:,}", "red" if stage["errors"] else "dim")
        numbers = (f"{stage['calls']:,}", errors, f"{stage['seconds']:,.1f}", _dollars(stage["cost_dollars"]))
        table.add_row(stage["stage"], *numbers, bar)
    return table


def _users(users: Sequence[Any]) -> RenderableType | None:
    if not users:
        return None
    table = _table("Most active users", ">user", ">jobs", ">candidates", ">dollars")
    for user in users:
        numbers = (user["user"], user["jobs"], user["candidates"])
        table.add_row(*map(str, numbers), _spent(user["cost_dollars"]))
    return table


def _jobs(jobs: Sequence[Any], title: str) -> RenderableType:
    if not jobs:
        return Group(Text(title, "bold"), "None.")
    table = _table(
        title, "began (UTC)", ">analysis", ">user", "status", ">seconds", ">candidates", ">done", ">score"
    )
    for heading in ("calls", "dollars"):
        table.add_column(heading, justify="right")
    table.add_column("errors", overflow="fold")
    for job in jobs:
        dollars = _spent(job["cost_dollars"], "" if job["cost_is_complete"] else "+")
        table.add_row(
            f"{job['started_at']:%Y-%m-%d %H:%M}",
            _number(job["analysis"]),
            _number(job["user"]),
            Text(job["status"], STATUS_COLOURS.get(job["status"], "")),
            "–" if job["seconds"] is None else f"{job['seconds']:.1f}",
            _number(job["candidates"]),
            _number(job["done"]),
            _share(job["score"]),
            _number(job["calls"]),
            dollars,
            _errors(job["errors"].items()),
        )
    return table


def _errors(errors: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in errors)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
    for heading in headings:
        table.add_column(
            heading.lstrip(">"), justify="right" if heading.startswith(">") else "left", no_wrap=True
        )
    return table


def _range(found: Any) -> str:
    if found.mean is None:
        return "–"
    return f"{_number(found.mean)} ({_number(found.least)} to {_number(found.most)})"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def _dollars(value: float | None) -> str:
    if value is None:
        return "–"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def _spent(value: float | None, more: str = "") -> str:
    """Return what was spent, which may be unknown; `more` says that it may have been more."""
    return "unknown" if value is None else _dollars(value) + more


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
