"""``flask telemetry archive``: move old runs and days from the tables to files."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from ..application import database_settings
from ..errors import needs_sql, one_line_errors, writing_to
from ..listing import count
from ..options import DAY, database_option
from ..output import advance

if TYPE_CHECKING:
    from exporters.archive.archive import Archive, Plan


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--before", type=DAY, help="First day that stays: 2025-11-01.")
@click.option("--older-than", type=click.IntRange(1, 36500), help="Number of days that stay, besides today.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="csv is compressed (csv.gz).",
)
@click.option("--apply", is_flag=True, help="Archive them. Default: only count them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def archive(
    directory: Path,
    before: datetime | None,
    older_than: int | None,
    form: str,
    apply: bool,
    as_json: bool,
    database_url: str | None,
) -> None:
    """Move old runs and days of the log to files.

    The files are written to DIRECTORY. It can be interrupted and repeated at any time.
    """
    if (before is None) == (older_than is None):
        raise click.UsageError("give --before or --older-than, and not both")
    with needs_sql():
        from exporters.archive.archive import Archive
    settings = database_settings(database_url)
    first = _first_to_stay(before, older_than, settings.timezone)
    with one_line_errors(), Archive(settings, directory, before=first, form=form) as archiving:
        plan = archiving.plan()
        with writing_to("DIRECTORY", directory):
            moved = _move(archiving, plan) if apply else None
    if moved is None:
        click.echo(plan.to_json() if as_json else _summary(plan, first))
    elif as_json:
        click.echo(json.dumps({"moved": moved, "parts": archiving.parts}))
    else:
        parts = ", ".join(archiving.parts) or "no part"
        click.echo(f"{moved:,} runs and days archived in {directory}: {parts}.")


def _first_to_stay(before: datetime | None, older_than: int | None, zone: str) -> date:
    """Return the first day that stays, which is at most yesterday."""
    today = datetime.now(ZoneInfo(zone)).date()
    first = before.date() if before else today - timedelta(days=older_than or 1)
    if first >= today:
        raise click.BadParameter("must be earlier than today", param_hint="--before")
    return first


def _move(archiving: Archive, plan: Plan) -> int:
    return advance("Runs and days", plan.runs + plan.days, archiving.work())


def _summary(plan: Plan, first: date) -> str:
    days = f"{count(plan.days, 'day')} of the log before {first:%Y-%m-%d}"
    lines = [f"{count(plan.runs, 'run')} and {days}."]
    lines += [f"Older, but to stay: {count(number, 'run')} ({why})." for why, number in plan.stay.items()]
    if plan.unfinished:
        lines.append(f"To be finished first: {count(plan.unfinished, 'part')} of an earlier process.")
    return "\n".join([*lines, "Nothing was archived; --apply archives."])
