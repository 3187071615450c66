"""``flask telemetry report`` and ``insights``: figures, and findings in them."""

from __future__ import annotations

from typing import Final

import click

from ..application import database_settings, today
from ..errors import needs_sql, one_line_errors
from ..listing import paragraph
from ..notify import notify_option, send
from ..options import ID, Period, database_option, period_options, refuse_empty_model
from ..output import insist_on_output

DAYS: Final = 30
"""Default length of a report."""


@click.command()
@period_options(f"{DAYS}")
@click.option("--user", "user_id", type=ID, help="Only jobs of this user.")
@click.option("--model", help="Only runs that called a matching model, and only their calls to it. A glob.")
@click.option("--analysis", "analysis_id", type=ID, help="Only this analysis, regardless of the period.")
@click.option("--failed", is_flag=True, help="List the latest failed jobs instead of the latest jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def report(
    period: Period,
    user_id: int | None,
    model: str | None,
    analysis_id: int | None,
    failed: bool,
    as_json: bool,
    database_url: str | None,
) -> None:
    """Show spending, jobs, users and failures.

    Days are those of TELEMETRY_TIMEZONE.
    """
    insist_on_output()
    _refuse_contradictions(period, user_id=user_id, model=model, analysis_id=analysis_id)
    with needs_sql():
        from exporters.reports import report as figures
    settings = database_settings(database_url)
    first = period.first(today(settings), DAYS)
    with one_line_errors():
        result = figures(
            settings,
            DAYS,
            since=first,
            until=period.until,
            user_id=user_id,
            model=model,
            analysis_id=analysis_id,
            failed=failed,
        )
    if as_json:
        click.echo(result.to_json())
        return
    try:
        from ..report_page import show
    except ImportError as error:
        raise click.ClickException(
            f"this needs analysis-telemetry[report] ({error}); --json does not"
        ) from None
    show(result, failed=failed)


def _refuse_contradictions(
    period: Period, *, user_id: int | None, model: str | None, analysis_id: int | None
) -> None:
    """Refuse options that exclude each other."""
    refuse_empty_model(model)
    if analysis_id is None:
        return
    given = {
        "--days": period.days,
        "--since": period.since,
        "--until": period.until,
        "--user": user_id,
    }
    for name, value in given.items():
        if value is not None:
            why = "has one user" if name == "--user" else "has no period"
            raise click.UsageError(f"--analysis and {name} exclude each other: an analysis {why}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print each finding as a JSON object in a line.")
@notify_option
@database_option
def insights(as_json: bool, notify: bool, database_url: str | None) -> None:
    """Show findings in recent figures, and what to do.

    The exit status is 1 if any finding is severe.
    """
    with needs_sql():
        from exporters.findings.insights import insights as find
    settings = database_settings(database_url)
    with one_line_errors():
        findings = find(settings)
    for finding in findings:
        if as_json:
            click.echo(finding.to_json())
            continue
        click.secho(finding.title, fg="red" if finding.is_severe else "yellow", bold=True)
        paragraph(finding.message)
        paragraph(finding.action)
    if not findings and not as_json:
        click.secho("Nothing stands out.", fg="green")
    if notify:
        click.echo(send(settings, findings), err=as_json)
    if any(finding.is_severe for finding in findings):
        raise SystemExit(1)
