"""The tables of the report: spending, models, stages, periods, users and jobs; empty ones are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import RenderableType
from rich.text import Text

from telemetry.cli import money

from .listing import Column, Indented, Listing

if TYPE_CHECKING:
    from exporters.reports import Gap, Job, Period, Report, Usage, User

STATUS_COLOURS: Final = {
    "completed": "green",
    "partial_failure": "yellow",
    "failed": "red",
    "interrupted": "red",
    "running": "cyan",
}
FAILED_SHARES: Final = (0.05, 0.2)
"""Shares of failed jobs above which a period is yellow, and red."""
TITLES: Final = {"day": "Days", "week": "Weeks", "month": "Months"}
SPENT_ON: Final = {
    "analyses": "analyses",
    "intake": "their intake",
    "late": "work afterwards",
    "other": "runs of no known kind",
    "history": "history",
    "failed": "wasted: failed",
    "cancelled": "wasted: cancelled",
    "interrupted": "wasted: interrupted",
    "repeated": "wasted: repeated",
    "unused_intake": "wasted: unused intake",
    "orphan": "outside any run",
    "running": "still running",
}
FOREIGN: Final = "belongs to another user, or is younger than the run"
"""Why a row of the application does not show a run that names it."""
MISSING: Final = {
    "unpriced": "{calls} of {model} without a price",
    "unmodelled": "{calls} of {model} not billed by tokens",
    "usage_missing": "{calls} of {model} without token counts",
    "unfinished": "{calls} without a known end, of unknown models",
    "running": "{runs} still running, which may spend more",
    "unknown_end": "{runs} without a known end: their last calls are not known",
    "history": "{runs} from before telemetry, whose cost is not known",
}


def spent(report: Report) -> Iterator[RenderableType]:
    """Yield the spending by purpose with exact amounts, the total, and what is missing in it."""
    if not report.spend:
        return
    costs = [line.cost for line in report.spend] + [report.cost]
    amounts = money.column([cost.dollars for cost in costs], [cost.complete for cost in costs], exact=True)
    listing = Listing("Spent", (Column("on"), Column("runs", True, 1), Column("dollars", True)))
    for line, amount in zip(report.spend, amounts, strict=False):
        style = "yellow" if line.wasted or line.name == "orphan" else ""
        listing.add(Text(SPENT_ON.get(line.name, line.name), style), f"{line.runs:,}", amount)
    listing.add(
        Text("total", "bold"), f"{sum(line.runs for line in report.spend):,}", Text(amounts[-1], "bold")
    )
    yield Text()
    yield listing
    if report.gaps:
        yield Text("Not included:" if report.cost.is_known else "The cost is not known:", "yellow")
        yield from (Indented(Text(_missing(gap))) for gap in report.gaps)


def _missing(gap: Gap) -> str:
    sentence = MISSING[gap.reason]
    calls = "" if gap.calls is None else _count(gap.calls, "call")
    runs = "" if gap.runs is None else _count(gap.runs, "run")
    return sentence.format(calls=calls, runs=runs, model=gap.model or "an unknown model")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


_COUNTS: Final = (
    (Column("calls", True), "calls", ""),
    (Column("attempts", True, 4), "attempts", ""),
    (Column("429s", True, 3), "rate_limit_hits", "yellow"),
    (Column("no quota", True, 3), "quota_hits", "red"),
    (Column("spend limit", True, 3), "spend_limit_hits", "red"),
    (Column("failed calls", True, 3), "failed_calls", "red"),
    (Column("input", True, 2), "input_tokens", ""),
    (Column("cached", True, 5), "cached_tokens", ""),
    (Column("written", True, 6), "cache_write_tokens", ""),
    (Column("output", True, 2), "output_tokens", ""),
    (Column("reasoning", True, 6), "reasoning_tokens", ""),
)
"""Columns with the attribute of their counts, and the colour of counts that are not zero."""
_RARE: Final = ("quota_hits", "spend_limit_hits")
"""Counts that have a column only if one is not zero."""


def models(usages: Sequence[Usage]) -> Iterator[RenderableType]:
    """Yield calls, tokens and cost by model."""
    yield from _usage("Models", "model", usages)


def stages(usages: Sequence[Usage]) -> Iterator[RenderableType]:
    """Yield calls, tokens and cost by stage; seconds are the time that the stage was open."""
    yield from _usage("Stages", "stage", usages)


def _usage(title: str, name: str, usages: Sequence[Usage]) -> Iterator[RenderableType]:
    if not usages:
        return
    counts = [
        entry
        for entry in _COUNTS
        if entry[1] not in _RARE or any(getattr(usage, entry[1]) for usage in usages)
    ]
    columns = (*(column for column, _, _ in counts), Column("dollars", True))
    listing = Listing(title, (Column(name), Column("seconds", True, 3), *columns))
    amounts = money.column(
        [usage.cost.dollars for usage in usages], [usage.cost.complete for usage in usages]
    )
    most = max(usage.cost.pico for usage in usages) or 1
    for usage, amount in zip(usages, amounts, strict=True):
        listing.add(
            usage.name or "unknown",
            f"{usage.seconds:,.1f}",
            *(_number(getattr(usage, count), style) for _, count, style in counts),
            amount,
            share=usage.cost.pico / most,
            colour="cyan",
        )
    yield Text()
    yield listing


def periods(unit: str, all_periods: Sequence[Period]) -> Iterator[RenderableType]:
    """Yield the jobs and cost of each period, with a bar coloured by the share of failures."""
    if len(all_periods) < 2:
        return
    most = max(period.jobs for period in all_periods) or 1
    listing = Listing(
        TITLES[unit],
        (
            *(Column(unit), Column("jobs", True), Column("failed", True, 1), Column("interrupted", True, 2)),
            *(Column("failed in part", True, 2), Column("dollars", True)),
        ),
    )
    shown = [period for period in all_periods if period.jobs or period.cost.pico or not period.cost.complete]
    amounts = iter(
        money.column([period.cost.dollars for period in shown], [period.cost.complete for period in shown])
    )
    for period in all_periods:
        is_empty = period not in shown
        bad = (_number(period.failed, "red"), _number(period.interrupted, "red"))
        numbers = (_number(period.jobs), *bad, _number(period.partial_failures, "yellow"))
        cells = (Text("–", "dim"),) * 5 if is_empty else (*numbers, next(amounts))
        label = Text(_label(unit, period), "dim" if is_empty else "")
        listing.add(label, *cells, share=period.jobs / most, colour=_colour(period))
    yield Text()
    yield listing


def _label(unit: str, period: Period) -> str:
    if unit == "day":
        return f"{period.first:%a %Y-%m-%d}"
    return f"{period.first:%Y-%m}" if unit == "month" else f"{period.first:%Y-%m-%d} to {period.last:%m-%d}"


def _colour(period: Period) -> str:
    failed = (period.failed + period.interrupted) / period.jobs if period.jobs else 0.0
    return "red" if failed > FAILED_SHARES[1] else "yellow" if failed > FAILED_SHARES[0] else "green"


def users(all_users: Sequence[User]) -> Iterator[RenderableType]:
    """Yield the users with the most jobs."""
    if not all_users:
        return
    columns = (Column("user", True), Column("jobs", True), Column("candidates", True, 1))
    listing = Listing("Most active users", (*columns, Column("dollars", True)))
    amounts = money.column(
        [user.cost.dollars for user in all_users], [user.cost.complete for user in all_users]
    )
    for user, amount in zip(all_users, amounts, strict=True):
        notes = [Text("the application has no such user", "yellow")] if user.is_missing else []
        listing.add(str(user.user), f"{user.jobs:,}", f"{user.candidates:,}", amount, notes=notes)
    yield Text()
    yield listing


def jobs(all_jobs: Sequence[Job], title: str) -> Iterator[RenderableType]:
    """Yield a line for each job; below failed ones, the reason and the trace."""
    yield Text()
    if not all_jobs:
        yield Text(title, "bold")
        yield "None."
        return
    columns = (
        *(Column("began (UTC)"), Column("analysis", True, 1), Column("user", True, 3), Column("status")),
        *(
            Column("seconds", True, 3),
            Column("done", True, 2),
            Column("of", True, 2),
            Column("score", True, 4),
        ),
        *(Column("calls", True, 4), Column("429s", True, 5), Column("dollars", True)),
    )
    listing = Listing(title, columns)
    amounts = money.column(
        [item.cost.dollars for item in all_jobs], [item.cost.complete for item in all_jobs]
    )
    for job, amount in zip(all_jobs, amounts, strict=True):
        listing.add(
            f"{job.started_at:%Y-%m-%d %H:%M}",
            _id(job.analysis),
            _id(job.user),
            Text(job.status, STATUS_COLOURS.get(job.status, "")),
            "–" if job.seconds is None else f"{job.seconds:,.1f}",
            "?" if job.done is None else _number(job.done),
            _known(job.candidates),
            share(job.score),
            _known(job.calls),
            _known(job.rate_limit_hits),
            amount,
            notes=list(_notes(job)),
        )
    yield listing


def _notes(job: Job) -> Iterator[Text]:
    if job.reason:
        yield Text(job.reason, "yellow")
    if job.errors:
        errors = (f"{name} ×{count}" if count > 1 else name for name, count in job.errors.items())
        yield Text(f"errors marked by the application: {', '.join(errors)}", "red")
    if job.is_foreign:
        yield Text(f"the row of analysis {job.analysis} {FOREIGN}, and does not show it", "yellow")
    if job.status in ("failed", "interrupted", "partial_failure") and job.trace_id:
        exported = "" if job.trace_sampled else " (not exported)"
        yield Text(f"trace {job.trace_id}{exported}", "dim")


def _number(value: int, style: str = "") -> Text:
    return Text(f"{value:,}", style if value else "dim")


def _known(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _id(value: int | None) -> str:
    return "–" if value is None else str(value)


def share(value: float | None) -> str:
    """Return a share as a percentage."""
    return "–" if value is None else f"{value:.0%}"
