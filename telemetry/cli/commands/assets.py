"""``flask telemetry assets``: dashboards, rules and configurations with the host's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..application import load_settings
from ..errors import reading_from, writing_to
from ..listing import table

if TYPE_CHECKING:
    from exporters.assets.comparison import Comparison


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if a file is out of date or was edited.")
@click.option(
    "--overwrite",
    multiple=True,
    metavar="FILE",
    help="Write this file even if you edited or deleted it, or somebody else wrote it; what was there is "
    "kept as FILE.orig. A path in DIRECTORY, or a pattern such as '*' for all. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def assets(directory: Path, check: bool, overwrite: tuple[str, ...], as_json: bool) -> None:
    """Write dashboards, alert rules and configurations.

    They go to files in DIRECTORY, with the names and thresholds of the settings: dashboards for Grafana,
    rules and a configuration for Prometheus, examples for Alertmanager and the Collector, and dashboards and
    rules as objects of Kubernetes. Repeat this after you change a setting or upgrade. A file that you edited
    is kept; if there is a newer version of it, nothing is written. A file that you deleted is not written
    again. No database is needed.
    """
    if check and overwrite:
        raise click.UsageError("--check and --overwrite exclude each other")
    from exporters.assets.comparison import compare
    from exporters.assets.contents import contents
    from exporters.assets.directory import write

    wanted = contents(load_settings())
    with reading_from("DIRECTORY"):
        found = _overwriting(compare(directory, wanted), overwrite)
    if not check and not found.obstacles:
        with writing_to("DIRECTORY", directory):
            found = write(found)
    if as_json:
        click.echo(json.dumps(_for_json(found, check)))
    elif check or not found.obstacles:
        _print(found, check)
    if found.obstacles or (check and not found.is_up_to_date):
        if as_json:
            raise SystemExit(1)
        raise click.ClickException(_what_to_do(found, check))


def _overwriting(found: Comparison, patterns: tuple[str, ...]) -> Comparison:
    try:
        return found.overwriting(patterns)
    except LookupError as error:
        raise click.UsageError(f"--overwrite: no file of {found.directory} is {error.args[0]!r}") from None


def _what_to_do(found: Comparison, check: bool) -> str:
    from exporters.assets.comparison import State

    if found.obstacles:
        would_be = "would be" if check else "is"
        return f"nothing {would_be} written to {found.directory}: {found.obstacles}"
    if found.having(State.NEW, State.CHANGED, State.REMOVED, State.KEPT):
        return f"{found.directory} is out of date: run flask telemetry assets {found.directory}"
    names = ", ".join(found.having(State.EDITED))
    return (
        f"files in {found.directory} were edited: {names}; take the edits back, or name them with --overwrite"
    )


def _for_json(found: Comparison, check: bool) -> dict[str, object]:
    from exporters.assets.comparison import State

    result = {"is_up_to_date": found.is_up_to_date} if check else {"is_written": not found.obstacles}
    states = {state.value: found.having(state) for state in State}
    return {"directory": str(found.directory), **result, **states, "copies": found.copies}


def _print(found: Comparison, check: bool) -> None:
    from exporters.assets.comparison import State

    rows = [
        (state.value, f"{name}, kept as {found.copies[name]}" if name in found.copies else name)
        for name, state in found.states.items()
        if state is not State.UNCHANGED
    ]
    if rows:
        table(("", "file"), rows, "")
    if not check:
        counts = [f"{len(found.having(state))} {state}" for state in State if found.having(state)]
        click.echo(f"{', '.join(counts)} in {found.directory}.")
    elif found.is_up_to_date:
        click.echo(f"{found.directory} is up to date.")
