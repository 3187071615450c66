"""The live proof: ``python -m tests.live``, or ``make e2e``.

Starts the example application, PostgreSQL, the Collector, Prometheus, Alertmanager and Jaeger with the
shipped configuration, provokes incidents, and sees each alert arrive at a webhook and be resolved after the
cure, while the queries and commands of its runbook work. The rules are those of `flask telemetry assets`,
with every duration divided by one factor. The exit status is 1 if an alert did not come or go, if one came
that nobody had provoked, or if anything of a runbook does not work.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests import runs
from tests.live.display import Display
from tests.live.notifications import Notifications
from tests.live.plan import NOT_PROVOKED, phases
from tests.live.proof import Proof
from tests.live.record import write
from tests.live.system import System


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the result for docs/reference/alerts.md")
    parser.add_argument("alerts", nargs="*", help="provoke these only; default: all")
    given = parser.parse_args()
    # What this process leaves behind, however it ends, is ended by a guard.
    os.environ["TMPDIR"] = tempfile.tempdir = str(runs.folder())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    try:
        proof = prove(console, Path(tempfile.mkdtemp(prefix="live-")), given.alerts)
    except KeyboardInterrupt:
        console.print("interrupted: everything that was started is stopped")
        return 130
    if given.write and not given.alerts and not proof.problems:
        write(proof.outcomes, NOT_PROVOKED)
    return 1 if proof.problems else 0


def prove(console: Console, folder: Path, alerts: Sequence[str] = ()) -> Proof:
    """Play all incidents, or those that raise some alerts, and print what became of each alert.

    Args:
        console: where to print.
        folder: for the spool, the logs, queues and rules.
        alerts: provoke these only; default: all.
    """
    with (
        Display(console) as display,
        Notifications() as notifications,
        System(folder, notifications) as system,
    ):
        proof = Proof(system, display.report)
        try:
            for lanes in phases(alerts):
                proof.play(lanes)
        finally:
            proof.stop()
    display.table(proof.outcomes, {} if alerts else NOT_PROVOKED)
    for problem in proof.problems:
        console.print(f"[red]✗[/] {problem}", soft_wrap=True)
    return proof


if __name__ == "__main__":
    raise SystemExit(main())
