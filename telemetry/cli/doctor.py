"""``flask telemetry doctor``: what works, and what does not."""

from __future__ import annotations

import click

from .application import load_app
from .output import insist_on_output


@click.command()
@click.option("--no-run", is_flag=True, help="Make no synthetic run.")
@click.option("-v", "--verbose", is_flag=True, help="A line for what is fine, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with everything.")
def doctor(no_run: bool, as_json: bool, verbose: bool) -> None:
    """Say what works, what does not, and what to do.

    Exit with how many things are wrong. Makes a synthetic run, which no total counts, and compares what SQL,
    metrics and its trace say of it.
    """
    from telemetry.doctor.report import main

    insist_on_output()
    raise SystemExit(main(load_app, with_run=not no_run, as_json=as_json, verbose=verbose))
