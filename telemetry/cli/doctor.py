"""``flask telemetry doctor``: what works, and what does not."""

from __future__ import annotations

import os

import click

from .application import load_app
from .options import database_option
from .output import insist_on_output


@click.command()
@click.option("--no-run", is_flag=True, help="Make no synthetic run.")
@click.option("-v", "--verbose", is_flag=True, help="A line for what is fine, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with everything.")
@database_option
def doctor(no_run: bool, as_json: bool, verbose: bool, database_url: str | None) -> None:
    """Say what works, what does not, and what to do.

    Exit with how many things are wrong. Makes a synthetic run, which no total counts, and compares what SQL,
    metrics and its trace say of it.
    """
    from telemetry.doctor.report import main

    insist_on_output()
    if database_url:
        # The application's settings, and what telemetry sets up from them, name the database.
        os.environ["TELEMETRY_DATABASE_URL"] = database_url
    raise SystemExit(main(load_app, with_run=not no_run, as_json=as_json, verbose=verbose))
