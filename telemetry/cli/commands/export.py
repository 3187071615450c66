"""``flask telemetry export``: write jobs to a file or to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import click

from telemetry._internal.partial_file import replacing

from ..application import database_settings, today
from ..errors import needs_sql, one_line_errors, writing_to
from ..listing import count
from ..options import Period, database_option, period_options
from ..output import advance, insist_on_output

if TYPE_CHECKING:
    from exporters.export.jobs import Export

_STANDARD_OUTPUT: Final = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "jsonl", "parquet"]),
    default="csv",
    show_default=True,
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Default, and with -: standard output.",
)
@period_options("all")
@click.option(
    "--segment", type=click.Choice(["all", "new", "active", "power"]), default="all", show_default=True
)
@click.option(
    "--batch-size", type=click.Choice(["all", "small", "medium", "large"]), default="all", show_default=True
)
@click.option("--with-emails", is_flag=True, help="Add the e-mail addresses of the users.")
@database_option
def export(
    form: str,
    output: Path | None,
    period: Period,
    segment: str,
    batch_size: str,
    with_emails: bool,
    database_url: str | None,
) -> None:
    """Write the jobs as CSV, JSON, JSON lines or Parquet.

    These are the jobs that dashboards count and that began in the period. Days are those of
    TELEMETRY_TIMEZONE.
    """
    if output is None:
        insist_on_output()
    with needs_sql():
        from exporters.export.jobs import Export
        from exporters.sql.database.days import midnight
    settings = database_settings(database_url)
    first = period.first(today(settings))
    with (
        one_line_errors(),
        Export(
            settings.database_url,
            since=first and midnight(first, ZoneInfo(settings.timezone)),
            until=period.until and midnight(period.until, ZoneInfo(settings.timezone)),
            segment=segment,
            batch_size=batch_size,
            with_emails=with_emails,
        ) as jobs,
    ):
        _write_out(jobs, form, output)


def _write_out(jobs: Export, form: str, output: Path | None) -> None:
    """Write to a file, with a progress bar on a terminal, or to a pipe or a device."""
    if output is None or str(output) in _STANDARD_OUTPUT:
        if form == "parquet" and sys.stdout.buffer.isatty():
            raise click.UsageError("Parquet is not readable on a terminal: give --output, or pipe it")
        _write(jobs, form, sys.stdout.buffer)
    elif output.exists() and not output.is_file():  # not resolved: the links of /dev/stdout lead to no path
        with writing_to("--output", output), output.open("wb") as sink:
            _write(jobs, form, sink)
    else:
        with writing_to("--output", output), replacing(output) as file:
            advance("Jobs", jobs.count(), _pieces(jobs, form, file))
        click.echo(f"{count(jobs.exported, 'job')} in {output}.")


def _write(jobs: Export, form: str, sink: IO[bytes]) -> None:
    for _ in _pieces(jobs, form, sink):
        pass
    sink.flush()


def _pieces(jobs: Export, form: str, file: IO[bytes]) -> Iterator[int]:
    """Write the jobs in pieces, and yield the number of jobs in each."""
    before = 0
    for piece in jobs.pieces(form):
        file.write(piece)
        yield jobs.exported - before
        before = jobs.exported
