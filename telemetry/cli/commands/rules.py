"""``flask telemetry rules``: the alert rules for Prometheus."""

from __future__ import annotations

from pathlib import Path

import click

from ..application import load_settings
from ..errors import writing_to


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the files are out of date.")
def rules(directory: Path, check: bool) -> None:
    """Write the alert rules for Prometheus.

    They go to files in DIRECTORY, with the thresholds of the settings: repeat this after you change one, and
    let Prometheus reload. No database is needed.
    """
    from exporters.alert_rules import files

    settings = load_settings()
    if check:
        if files.outdated(settings, directory):
            raise click.ClickException(f"{directory} is out of date: run flask telemetry rules {directory}")
        click.echo(f"{directory} is up to date.")
        return
    with writing_to("DIRECTORY", directory):
        written = files.write(settings, directory)
    click.echo(f"{len(written)} files written to {directory}.")
