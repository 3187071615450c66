"""The lists of the page: spend, models, stages, periods, users, jobs. Empty ones are left out."""

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
"""Above which a period is yellow, and red."""
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
    "running": "under way",
}
FOREIGN: Final = "belongs to another user, or is younger than the run"
"""Why a row of the application's does not show a run that names it."""
MISSING: Final = {
    "unpriced": "{calls} of {model} without a price",
    "unmodelled": "{calls} of {model} that cost otherwise than their tokens say",
    "usage_missing": "{calls} of {model} without token counts",
    "unfinished": "{calls} that nobody saw the end of, of models not known",
    "running": "{runs} under way: what they spend is not over",
    "unknown_end": "{runs} not seen to their end: what they called last is not known",
    "history": "{runs} from before telemetry: what they cost is not known",
}


def spent(report: Report) -> Iterator[RenderableType]:
    """What the money was spent on, exactly, line by line up to the total; and what is missing in it."""
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
        yield Text("Not in it:" if report.cost.is_known else "What it was is not known:", "yellow")
        yield from (Indented(Text(_missing(gap))) for gap in report.gaps)


def _missing(gap: Gap) -> str:
    sentence = MISSING[gap.reason]
    calls = "" if gap.calls is None else _count(gap.calls, "call")
    runs = "" if gap.runs is None else _count(gap.runs, "run")
    return sentence.format(calls=calls, runs=runs, model=gap.model or "a model not known")


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
"""Columns, the counts in them, and the colour of those that are not zero."""
_RARE: Final = ("quota_hits", "spend_limit_hits")
"""Counts that have a column only where there are any."""


def models(found: Sequence[Usage]) -> Iterator[RenderableType]:
    """Calls, tokens by kind and money by model."""
    yield from _usage("Models", "model", found)


def stages(found: Sequence[Usage]) -> Iterator[RenderableType]:
    """The same by stage; seconds are how long the stage was open."""
    yield from _usage("Stages", "stage", found)


def _usage(title: str, name: str, found: Sequence[Usage]) -> Iterator[RenderableType]:
    if not found:
        return
    counts = [each for each in _COUNTS if each[1] not in _RARE or any(getattr(row, each[1]) for row in found)]
    columns = (*(column for column, _, _ in counts), Column("dollars", True))
    listing = Listing(title, (Column(name), Column("seconds", True, 3), *columns))
    amounts = money.column([each.cost.dollars for each in found], [each.cost.complete for each in found])
    most = max(each.cost.pico for each in found) or 1
    for each, amount in zip(found, amounts, strict=True):
        listing.add(
            each.name or "not known",
            f"{each.seconds:,.1f}",
            *(_number(getattr(each, count), style) for _, count, style in counts),
            amount,
            share=each.cost.pico / most,
            colour="cyan",
        )
    yield Text()
    yield listing


def periods(unit: str, found: Sequence[Period]) -> Iterator[RenderableType]:
    """A bar for the jobs of each period, coloured by the share of those that failed."""
    if len(found) < 2:
        return
    most = max(each.jobs for each in found) or 1
    listing = Listing(
        TITLES[unit],
        (
            *(Column(unit), Column("jobs", True), Column("failed", True, 1), Column("interrupted", True, 2)),
            *(Column("failed in part", True, 2), Column("dollars", True)),
        ),
    )
    shown = [each for each in found if each.jobs or each.cost.pico or not each.cost.complete]
    amounts = iter(
        money.column([each.cost.dollars for each in shown], [each.cost.complete for each in shown])
    )
    for each in found:
        is_empty = each not in shown
        bad = (_number(each.failed, "red"), _number(each.interrupted, "red"))
        numbers = (_number(each.jobs), *bad, _number(each.partial_failures, "yellow"))
        cells = (Text("–", "dim"),) * 5 if is_empty else (*numbers, next(amounts))
        label = Text(_label(unit, each), "dim" if is_empty else "")
        listing.add(label, *cells, share=each.jobs / most, colour=_colour(each))
    yield Text()
    yield listing


def _label(unit: str, period: Period) -> str:
    if unit == "day":
        return f"{period.first:%a %Y-%m-%d}"
    return f"{period.first:%Y-%m}" if unit == "month" else f"{period.first:%Y-%m-%d} to {period.last:%m-%d}"


def _colour(period: Period) -> str:
    failed = (period.failed + period.interrupted) / period.jobs if period.jobs else 0.0
    return "red" if failed > FAILED_SHARES[1] else "yellow" if failed > FAILED_SHARES[0] else "green"


def users(found: Sequence[User]) -> Iterator[RenderableType]:
    """Those with the most jobs."""
    if not found:
        return
    columns = (Column("user", True), Column("jobs", True), Column("candidates", True, 1))
    listing = Listing("Most active users", (*columns, Column("dollars", True)))
    amounts = money.column([each.cost.dollars for each in found], [each.cost.complete for each in found])
    for each, amount in zip(found, amounts, strict=True):
        notes = [Text("the application has no such user", "yellow")] if each.is_missing else []
        listing.add(str(each.user), f"{each.jobs:,}", f"{each.candidates:,}", amount, notes=notes)
    yield Text()
    yield listing


def jobs(found: Sequence[Job], title: str) -> Iterator[RenderableType]:
    """One line a job; below those that went wrong, why, and the trace to look at."""
    yield Text()
    if not found:
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
    amounts = money.column([each.cost.dollars for each in found], [each.cost.complete for each in found])
    for job, amount in zip(found, amounts, strict=True):
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
