"""``flask telemetry spool``: snapshots that wait for the database on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from ..application import database_settings
from ..errors import needs_sql, one_line_errors
from ..listing import count, table
from ..options import database_option

if TYPE_CHECKING:
    from exporters.process.spool_keeper import ProcessDirectory, Retried, SpoolKeeper

RECOVERY_SECONDS: Final = 10.0
FOREIGN_HINT: Final = "foreign directories belong to another user: run this as that user, or chown them"


@click.group()
def spool() -> None:
    """Snapshots that wait for the database on this machine."""


@spool.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def spool_list(as_json: bool, database_url: str | None) -> None:
    """List the snapshots of each process, those in quarantine, and unreadable files."""
    keeper = _keeper(database_url)
    with one_line_errors():
        processes = keeper.processes()
    if as_json:
        click.echo(json.dumps(_named(keeper, processes)))
    else:
        _print(keeper, processes)


def _named(keeper: SpoolKeeper, processes: Sequence[ProcessDirectory]) -> dict[str, object]:
    """Return the contents of the spool for JSON."""
    return {
        "root": str(keeper.root),
        "processes": [
            {
                "process_id": entry.process_id,
                "state": _state(entry),
                "snapshots": entry.snapshots,
                "bytes": entry.bytes,
                "oldest_seconds": entry.age,
            }
            for entry in processes
        ],
        "quarantine": [
            {"fragment_id": entry.fragment_id, "reason": entry.reason, "since": entry.since.isoformat()}
            for entry in keeper.quarantined()
        ],
        "unreadable": [str(path) for path in keeper.unreadable()],
    }


def _print(keeper: SpoolKeeper, processes: Sequence[ProcessDirectory]) -> None:
    click.echo(str(keeper.root))
    table(
        ("process", "", "snapshots", "bytes", ">oldest"),
        [
            (entry.process_id, _state(entry), entry.snapshots, entry.bytes, _age(entry.age))
            for entry in processes
        ],
        "No process has snapshots.",
    )
    if any(entry.is_foreign for entry in processes):
        click.echo(FOREIGN_HINT)
    table(
        ("in quarantine", "refused with", "since"),
        [
            (entry.fragment_id, entry.reason, f"{entry.since:%Y-%m-%d %H:%M} UTC")
            for entry in keeper.quarantined()
        ],
        "Nothing is in quarantine.",
    )
    for path in keeper.unreadable():
        click.echo(f"unreadable: {path}")


@spool.command("retry")
@click.argument("fragments", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def spool_retry(fragments: tuple[str, ...], as_json: bool, database_url: str | None) -> None:
    """Deliver all snapshots in quarantine, or the FRAGMENTS; exit 1 if the database refuses one again."""
    keeper = _keeper(database_url)
    with one_line_errors():
        results = list(keeper.retry(fragments))
    if as_json:
        click.echo(json.dumps({"fragments": [_outcome(result) for result in results]}))
    else:
        for result in results:
            outcome = f"still refused: {result.error}" if result.error else "delivered"
            click.echo(f"{result.fragment_id}  {outcome}")
    if any(result.error for result in results):
        raise SystemExit(1)
    with one_line_errors():
        keeper.recover(RECOVERY_SECONDS)


def _outcome(result: Retried) -> dict[str, object]:
    """Return the outcome of a snapshot for JSON."""
    return {
        "fragment_id": result.fragment_id,
        "delivered": not result.error,
        "error": result.error or None,
    }


@spool.command("drop")
@click.argument("fragments", nargs=-1, required=True)
@click.confirmation_option(prompt="The figures of these fragments will be lost. Go on?")
@database_option
def spool_drop(fragments: tuple[str, ...], database_url: str | None) -> None:
    """Delete FRAGMENTS in quarantine for good."""
    keeper = _keeper(database_url)
    with one_line_errors():
        dropped = keeper.drop(fragments)
    click.echo(f"{dropped:,} dropped.")


@spool.command("recover")
@database_option
def spool_recover(database_url: str | None) -> None:
    """Deliver the snapshots of dead processes; exit 1 if some are left."""
    keeper = _keeper(database_url)
    with one_line_errors():
        dead = [process for process in keeper.processes() if not process.is_alive]
        is_done = keeper.recover(RECOVERY_SECONDS)
    left_behind = sum(process.snapshots for process in dead)
    left_by = count(len(dead), "dead process", "dead processes")
    click.echo(f"{left_by} had left {count(left_behind, 'snapshot')}.")
    still_there = keeper.processes()
    left = sum(process.snapshots for process in still_there if not process.is_alive)
    if left:
        raise click.ClickException(f"{left} are left: see flask telemetry spool list")
    if foreign := [process.process_id for process in still_there if process.is_foreign]:
        raise click.ClickException(f"{', '.join(foreign)} in {keeper.root} were skipped; {FOREIGN_HINT}")
    with one_line_errors():
        lags = keeper.lagging(also_waiting=not is_done)
    if lags:
        raise click.ClickException("; ".join(f"{lag} → {lag.remedy}" for lag in lags))
    if not is_done:
        raise click.ClickException("not everything was done in time: run it again")
    click.echo("Everything is delivered.")


def _keeper(database_url: str | None) -> SpoolKeeper:
    with needs_sql():
        from exporters.process.spool_keeper import SpoolKeeper
    settings = database_settings(database_url)
    with one_line_errors():
        return SpoolKeeper(settings)


def _state(process: ProcessDirectory) -> str:
    if process.is_foreign:
        return "foreign"
    return "living" if process.is_alive else "dead"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
