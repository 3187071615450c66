"""``flask telemetry health-check``, ``validate`` and ``erase``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from ..application import database_settings, find_database, today
from ..errors import needs_sql, one_line_errors
from ..listing import count, paragraph, table
from ..notify import notify_option, send
from ..options import ID, Period, database_option, period_options

if TYPE_CHECKING:
    from datetime import date

    from exporters.integrity.validation import Broken
    from exporters.upkeep.health_day import HealthDay
    from exporters.upkeep.health_log import Tidied

_HEALTH_DAYS: Final = 2
_HEALTH_TITLES: Final = (
    *("day", "completed", "failed", "unknown", ">mean s", ">dollars", "rate-limited runs"),
    *("at once", "candidates", "calls"),
)


@click.command("health-check")
@period_options(f"{_HEALTH_DAYS}, yesterday and today")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@notify_option
@database_option
def health_check(period: Period, as_json: bool, notify: bool, database_url: str | None) -> None:
    """Write a row a day to system_health_log, and clean up.

    Days are those of TELEMETRY_TIMEZONE. Regardless of the days, this marks runs that were silent for
    TELEMETRY_STALE_SECONDS as interrupted, brings rows of analyses and users that lag behind up to date,
    marks warnings without an answer as abandoned, removes references to deleted rows, and deletes warnings
    whose analysis or user was deleted. Run it once a day, or as often as you like.
    """
    with needs_sql():
        from exporters.upkeep.health_log import HealthCheck
    settings = database_settings(database_url, keep_key=False)
    now = today(settings)
    first = period.first(now, _HEALTH_DAYS)
    assert first is not None
    with one_line_errors(), HealthCheck(settings) as check:
        tidied = check.tidy()
        days = list(check.log(first, period.last(now)))
        findings = check.findings(check.yesterday()) if notify else []
    if as_json:
        shown = {"days": [asdict(day) for day in days], **asdict(tidied), "archived": check.archived}
        click.echo(json.dumps(shown, default=str))
    else:
        _print_health(days, tidied, check.archived)
    if notify:
        click.echo(send(settings, findings), err=as_json)


def _print_health(days: Sequence[HealthDay], tidied: Tidied, archived: Sequence[date]) -> None:
    table(_HEALTH_TITLES, _health_rows(days), "No such day.")
    swept = tidied.swept.runs + tidied.swept.warnings
    click.echo(
        f"{count(tidied.interrupted, 'run')} interrupted, {count(tidied.shown, 'row')} brought up to date, "
        f"{count(tidied.abandoned, 'warning')} abandoned, "
        f"{count(swept, 'reference')} to deleted rows removed."
    )
    if archived:
        click.echo(f"Skipped, because they are archived: {count(len(archived), 'day')}.")


def _health_rows(days: Sequence[HealthDay]) -> list[tuple[object, ...]]:
    from decimal import Decimal

    from ..money import column

    pico = [day.cost_pico for day in days]
    dollars = column([None if cost is None else Decimal(cost).scaleb(-12) for cost in pico])
    return [_health_row(day, amount) for day, amount in zip(days, dollars, strict=True)]


def _health_row(day: HealthDay, dollars: str) -> tuple[object, ...]:
    mean = "–" if day.avg_processing_time is None else f"{day.avg_processing_time:,.1f}"
    numbers = (day.rate_limit_incidents, day.peak_concurrent_jobs, day.total_candidates_processed)
    endings = (day.jobs_completed, day.jobs_failed, day.jobs_unknown)
    return (f"{day.date}", *endings, mean, dollars, *numbers, day.total_api_calls)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def validate(as_json: bool, database_url: str | None) -> None:
    """Check that the tables are consistent.

    If not, the exit status is 1, and the ids of the offending rows are printed.
    """
    with needs_sql():
        from exporters.integrity.validation import validate as broken_rules
    with one_line_errors():
        broken = broken_rules(find_database(database_url))
    if as_json:
        click.echo(
            json.dumps({"is_consistent": not broken, "broken": [_named(failure) for failure in broken]})
        )
        raise SystemExit(1 if broken else 0)
    for failure in broken:
        click.secho(f"{failure.rule.name}: {failure.count:,}", fg="red", bold=True)
        paragraph(f"The rule is that {failure.rule.meaning}.")
        more = "" if failure.count == len(failure.ids) else f" and {failure.count - len(failure.ids):,} more"
        paragraph(f"{failure.rule.id_name}: {', '.join(failure.ids)}{more}")
    if broken:
        raise SystemExit(1)
    click.secho("Everything is consistent.", fg="green")


def _named(broken: Broken) -> dict[str, object]:
    """Return a broken rule for JSON."""
    rule = broken.rule
    return {
        "rule": rule.name,
        "meaning": rule.meaning,
        "id_name": rule.id_name,
        "count": broken.count,
        "ids": broken.ids,
    }


@click.command()
@click.option("--user", "user_id", type=ID, help="Erase all rows of this user.")
@click.option("--analysis", "analysis_id", type=ID, help="Erase all rows of this analysis and its intake.")
@click.option("--apply", is_flag=True, help="Erase the rows. Default: only count them.")
@database_option
def erase(user_id: int | None, analysis_id: int | None, apply: bool, database_url: str | None) -> None:
    """Erase the rows of one user or one analysis."""
    if (user_id is None) == (analysis_id is None):
        raise click.UsageError("give --user or --analysis, and not both")
    with needs_sql():
        from exporters.upkeep.erase import erase as erase_rows
    with one_line_errors():
        erased = erase_rows(
            find_database(database_url), user_id=user_id, analysis_id=analysis_id, apply=apply
        )
    click.echo(f"{count(erased.runs, 'run')}, {count(erased.rows, 'row')}{' erased' if apply else ''}.")
    if erased.archives:
        click.echo(
            f"Archives, which this does not change, hold {count(erased.archived_runs, 'more run')}: "
            f"{', '.join(erased.archives)}. They contain ids, but no name or e-mail address."
        )
    if not apply:
        click.echo("Nothing was erased; --apply erases.")
