"""The report as a page: heading, totals, and tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rich.columns import Columns
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from telemetry.cli import money
from telemetry.cli.listing import terminal_width

from .lists import FOREIGN, jobs, models, periods, share, spent, stages, users

if TYPE_CHECKING:
    from exporters.reports import Range, Report

PIPED_WIDTH: Final = 140
HEALTH_COLOURS: Final = {"good": "green", "fair": "yellow", "poor": "red"}
NO_RUN: Final = (
    "No run was begun: {} outside any run. To see analyses, put the work that makes them into one:"
)
THREE_LINES: Final = """
    import telemetry

    with telemetry.run("analysis", user_id=user.id) as run:
        ...  # the work that calls OpenAI
        run.link(analysis_id=analysis.id)
"""
"""Code that an application needs to begin runs."""


def show(report: Report, *, failed: bool = False) -> None:
    """Print a report in the width of the terminal."""
    console = Console(width=terminal_width() or PIPED_WIDTH, highlight=False)
    console.print(Text(heading(report), "bold"))
    if report.is_empty:
        nothing = "There are none." if report.model is None else f"No call to {report.model}."
        console.print(f"{nothing} flask telemetry doctor says whether runs are recorded.", style="dim")
        return
    if report.foreign_runs:
        console.print(Text(_foreign(report), "yellow"))
    if report.has_only_orphans:
        console.print(Text(NO_RUN.format(made(report.orphan_calls)), "yellow"))
        console.print(THREE_LINES, markup=False)
    for part in (*_panels(report, console), *_lists(report, failed)):
        console.print(part)


def heading(report: Report) -> str:
    """Return the heading, which says what was selected."""
    about = f"Analyses from {report.first} to {report.last} ({report.timezone})"
    if report.analysis_id is not None:
        about = f"Analysis {report.analysis_id}"
    if report.user_id is not None:
        about += f", of user {report.user_id}"
    return about if report.model is None else f"{about}: calls to {report.model} alone"


def made(calls: int) -> str:
    """Return the number of calls as a clause."""
    return "1 call to OpenAI was made" if calls == 1 else f"{calls:,} calls to OpenAI were made"


def _foreign(report: Report) -> str:
    """Return a note about runs that the rows of their analyses do not show."""
    which = "an analysis" if report.analysis_id is None else f"analysis {report.analysis_id}"
    runs = "1 run names" if report.foreign_runs == 1 else f"{report.foreign_runs:,} runs name"
    return f"{runs} {which} whose row {FOREIGN}: counted on this page, not shown in that row."


def _panels(report: Report, console: Console) -> Iterator[RenderableType]:
    """Yield the panels, side by side as far as there is room."""
    panels = [_totals(report), _quality(report), _sizes(report)]
    beside = len(panels)
    while beside > 1 and sum(console.measure(panel).maximum + 1 for panel in panels[:beside]) > console.width:
        beside -= 1
    yield Columns(panels[:beside])
    yield from panels[beside:]
    if report.advice:
        yield Text(report.advice, "yellow")


def _lists(report: Report, failed: bool) -> Iterator[RenderableType]:
    yield from spent(report)
    yield from models(report.models)
    yield from stages(report.stages)
    yield from periods(report.period, report.periods)
    yield from users(report.active_users)
    yield from jobs(report.latest, "Latest failures" if failed else "Latest jobs")


def _totals(report: Report) -> Panel:
    costs = (report.cost.dollars, report.cost_per_job, report.cost_per_candidate)
    spent, per_job, per_candidate = (
        money.NONE if amount is None else money.text(amount, money.digits(filter(None, costs)))
        for amount in costs
    )
    if not report.cost.complete:
        spent = f"{spent} or more" if report.cost.is_known else money.UNKNOWN
        per_job += "" if report.cost_per_job is None else " or more"
    if report.cost_per_candidate is not None and not report.cost_per_candidate_complete:
        per_candidate += " or more"
    return _panel(
        "Totals",
        ("jobs", f"{report.jobs:,}"),
        ("users", f"{report.users:,}"),
        ("candidates", f"{report.candidates:,}"),
        ("spent", spent),
        ("a job", per_job),
        ("a candidate", per_candidate),
        ("OpenAI calls", f"{report.calls:,}"),
        ("attempts", f"{report.attempts:,}"),
        ("429: too fast", f"{report.rate_limit_hits:,}"),
        *([("429: no quota", f"{report.quota_hits:,}")] if report.quota_hits else []),
        *([("429: spend limit", f"{report.spend_limit_hits:,}")] if report.spend_limit_hits else []),
    )


def _quality(report: Report) -> Panel:
    health: RenderableType = "–"
    if report.health_score is not None:
        health = Text(f"{report.health_score:.0%} {report.health}", HEALTH_COLOURS[report.health])
    overrides = "–"
    if report.override_rate is not None:
        overrides = f"{report.overrides} of {report.over_limit} ({report.override_rate:.0%})"
    rows: list[tuple[str, RenderableType]] = [
        ("succeeded", f"{report.completed:,} ({share(report.success_rate)})"),
        ("failed in part", f"{report.partial_failures:,}"),
        ("failed", f"{report.failed:,}"),
        *((name, f"{count:,}") for name, count in _other_endings(report) if count),
        ("health", health),
        ("an answer takes", _duration(report.response_seconds)),
        ("limit overridden", overrides),
    ]
    return _panel("Quality", *rows)


def _other_endings(report: Report) -> tuple[tuple[str, int], ...]:
    return (
        ("interrupted", report.interrupted),
        ("cancelled", report.cancelled),
        ("running", report.running),
        ("ending unknown", report.unknown),
    )


def _sizes(report: Report) -> Panel:
    bins = "  ".join(f"{name}: {count:,}" for name, count in report.batches.items())
    return _panel(
        "Mean (least to most)",
        ("seconds a job", _range(report.seconds)),
        ("candidates a job", f"{_range(report.batch)}, median {_number(report.batch_median)}"),
        ("JD characters", _range(report.jd_characters)),
        ("résumé characters", _range(report.resume_characters)),
        ("jobs by candidates", bins),
    )


def _panel(title: str, *rows: tuple[str, RenderableType]) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim", justify="right", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return Panel(table, title=title, title_align="left", border_style="dim", expand=False)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _range(values: Range) -> str:
    if values.mean is None:
        return "–"
    return f"{_number(values.mean)} ({_number(values.least)} to {_number(values.most)})"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
