"""``flask telemetry assets``: dashboards, rules and configurations with the host's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..application import load_settings
from ..errors import writing_to
from ..listing import table

if TYPE_CHECKING:
    from exporters.assets.directory import Comparison


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is out of date or was edited.")
@click.option("--overwrite", is_flag=True, help="Replace also files that were edited, or that others wrote.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def assets(directory: Path, check: bool, overwrite: bool, as_json: bool) -> None:
    """Write dashboards, alert rules and configurations.

    They go to files in DIRECTORY, with the names and thresholds of the settings: dashboards for Grafana,
    rules and a configuration for Prometheus, examples for Alertmanager and the Collector, and dashboards and
    rules as objects of Kubernetes. Repeat this after you change a setting or upgrade. A file that you edited
    is kept; if there is a newer version of it, nothing is written. No database is needed.
    """
    if check and overwrite:
        raise click.UsageError("--check and --overwrite exclude each other")
    from exporters.assets import directory as files
    from exporters.assets.contents import contents

    wanted = contents(load_settings())
    try:
        with writing_to("DIRECTORY", directory):
            found = files.compare(directory, wanted)
            if not check:
                found = files.write(found, overwrite=overwrite)
    except files.Conflict as conflict:
        raise click.ClickException(str(conflict)) from None
    if as_json:
        click.echo(json.dumps(_for_json(found, check)))
    else:
        _print(found, check)
    if check and not found.is_up_to_date:
        if as_json:
            raise SystemExit(1)
        raise click.ClickException(_what_to_do(found))


def _what_to_do(found: Comparison) -> str:
    from exporters.assets.directory import State

    theirs = [*found.having(State.EDITED), *found.having(State.KEPT)]
    if len(theirs) + len(found.having(State.UNCHANGED)) < len(found.states):
        return f"{found.directory} is out of date: run flask telemetry assets {found.directory}"
    names = ", ".join(theirs)
    return f"files in {found.directory} were edited: {names}; take the edits back, or move the files away"


def _for_json(found: Comparison, check: bool) -> dict[str, object]:
    from exporters.assets.directory import State

    shown: dict[str, object] = {"directory": str(found.directory)}
    if check:
        shown["is_up_to_date"] = found.is_up_to_date
    return shown | {state.value: found.having(state) for state in State}


def _print(found: Comparison, check: bool) -> None:
    from exporters.assets.directory import State

    rows = [(state.value, name) for name, state in found.states.items() if state is not State.UNCHANGED]
    if check and found.is_up_to_date:
        click.echo(f"{found.directory} is up to date.")
        return
    if rows:
        table(("", "file"), rows, "")
    if not check:
        counts = [f"{len(found.having(state))} {state}" for state in State if found.having(state)]
        click.echo(f"{', '.join(counts)} in {found.directory}.")
