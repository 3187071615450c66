"""``flask telemetry catalogue`` and ``unused``: the reference page, and what nothing uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import needs_sql, one_line_errors, writing_to
from ..listing import table

if TYPE_CHECKING:
    from exporters.catalogue.usage import Entry, Usage


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: docs/reference/catalogue.md in a checkout of this project, otherwise standard output.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the page is out of date.")
def catalogue(output: Path | None, check: bool) -> None:
    """Write the reference page of metrics and columns.

    It lists all metrics, tables and views. No database is needed.
    """
    with needs_sql():
        from exporters.catalogue import page as reference
    with one_line_errors():
        page, place = reference.catalogue(), output or reference.place()
    if check:
        _check(page, place, is_default=output is None)
    elif place is None:
        click.echo(page, nl=False)
    else:
        with writing_to("--output", place):
            place.write_text(page, encoding="utf-8")
        click.echo(f"Written to {_shown(place)}.")


def _check(page: str, place: Path | None, *, is_default: bool) -> None:
    if place is None:
        raise click.UsageError("--check needs --output: the page to check")
    if place.is_file() and place.read_text(encoding="utf-8") == page:
        click.echo(f"{_shown(place)} is up to date.")
        return
    repair = "flask telemetry catalogue" + ("" if is_default else f" --output {place}")
    state = "out of date" if place.is_file() else "missing"
    raise click.ClickException(f"{_shown(place)} is {state}: run {repair}")


def _shown(place: Path) -> str:
    """Return a path, relative to the working directory if it is below it."""
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--all", "with_used", is_flag=True, help="List also what is used, and by what.")
@click.option("--fail", is_flag=True, help="Exit 1 if anything is unused.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def unused(paths: tuple[Path, ...], with_used: bool, fail: bool, as_json: bool) -> None:
    """List metrics and columns that nothing uses.

    That is, no panel, rule, view or document. PATHS are directories or files with dashboards (JSON of
    Grafana), rules (YAML of Prometheus), SQL and Markdown. Default: those in a checkout of this project. Its
    views always count as uses; Python code does not.
    """
    with needs_sql():
        from exporters.catalogue.usage import usage
    with one_line_errors():
        result = usage(paths)
    shown = result.entries if with_used else result.unused
    if as_json:
        entries = [entry.to_dict() for entry in shown]
        click.echo(json.dumps({"looked_at": result.looked_at, "entries": entries}, ensure_ascii=False))
    else:
        titles = ("", "name", "used by" if with_used else "meaning")
        table(titles, [_row(entry, with_used) for entry in shown], "Everything is used.")
        click.echo(_summary(result))
    if fail and result.unused:
        raise SystemExit(1)


def _row(entry: Entry, with_used: bool) -> tuple[str, str, str]:
    return (entry.kind, entry.name, ", ".join(entry.used_by) if with_used else entry.meaning)


def _summary(result: Usage) -> str:
    places, unused = len(result.looked_at), len(result.unused)
    return f"{unused} of {len(result.entries)} are not used in the {places} files and views searched."
