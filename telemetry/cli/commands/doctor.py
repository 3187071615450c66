"""``flask telemetry doctor``: check what works, and what does not."""

from __future__ import annotations

import os

import click

from ..application import load_app
from ..options import database_option
from ..output import insist_on_output


@click.command()
@click.option("--no-run", is_flag=True, help="Make no synthetic run.")
@click.option("-v", "--verbose", is_flag=True, help="List also what is fine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all checks.")
@database_option
def doctor(no_run: bool, as_json: bool, verbose: bool, database_url: str | None) -> None:
    """Check what works, what does not, and what to do.

    The exit status is the number of things that are wrong. It makes a synthetic run, which no total counts,
    and compares its figures in SQL, in metrics and in its trace.
    """
    from telemetry.doctor.report import main

    insist_on_output()
    if database_url:
        # Before the application is loaded, which reads its settings from the environment.
        os.environ["TELEMETRY_DATABASE_URL"] = database_url
    raise SystemExit(main(load_app, with_run=not no_run, as_json=as_json, verbose=verbose))
