"""Soak test: ``python -m tests.soak [--analyses N] [--seed N]``, or ``make soak``.

Two applications share a database server and a spool. Their processes are killed, stopped and forked during
runs, and hold the interpreter's lock; answers break off; the database is stopped, crashed and disconnected;
spools are full, and entries are delivered twice, late, or to the wrong application; other users leave forged
and damaged files. Meanwhile the applications write to the same rows.

In the end every completed run must be in its own database once and exactly, every interrupted one with at
least its last snapshot, and no incomplete cost may be marked as complete. The last line is JSON; the exit
status is 1 if any of this fails, or if a write of the host waited longer than :data:`HOST_WAIT_MS`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console

from examples.screener.demo.steps import Steps
from tests.soak.fire import Fire
from tests.soak.system import System
from tests.soak.verdict import judge

HOST_WAIT_MS = 500.0
"""Milliseconds by which a write of the host may take longer than one to a row of the host alone."""
SHOWN = 20
"""Maximum number of problems that are printed."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--analyses", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Steps(console) as steps:
        with System(Path(folder), given.analyses) as system:
            with steps.step(f"{given.analyses} analyses under fire", given.analyses) as report:
                damage = Fire(system, given.seed, report).burn()
            verdict = judge(system, damage)
    wrong = (*verdict.lost, *verdict.doubled, *verdict.false_complete, *verdict.foreign)
    for line in wrong[:SHOWN]:
        console.print(f"[red]✗[/] {line}", soft_wrap=True)
    console.print(
        f"{damage.killed} processes killed, {damage.stopped} stopped; {damage.outages} outages, connections "
        f"cut {damage.cut} times; {damage.repeated} snapshots delivered again, {damage.intruded} directories "
        f"left by others; the spool held {damage.largest_spool:,} bytes at most. The longest block of a host "
        f"thread was {verdict.longest_block_ms:.0f} ms, where a plain file replacement took up to "
        f"{verdict.longest_plain_ms:.0f} ms. A write of the host's to a row of ours took up to "
        f"{damage.host_wait_ms_max:.0f} ms, one to a row of its own {damage.control_wait_ms_max:.0f} ms."
    )
    result = {
        "name": "soak",
        "ended": verdict.ended,
        "killed": verdict.cut_short,
        "killed_while_opening": verdict.begun_unnoted,
        "outages": damage.outages,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "false_complete": len(verdict.false_complete),
        "foreign": len(verdict.foreign),
        "host_wait_ms_max": damage.host_wait_ms_max,
        "control_wait_ms_max": damage.control_wait_ms_max,
        "largest_spool_bytes": damage.largest_spool,
        "longest_block_ms": verdict.longest_block_ms,
        "longest_plain_ms": verdict.longest_plain_ms,
    }
    print(json.dumps(result))
    waited = damage.host_wait_ms_max - damage.control_wait_ms_max
    return 1 if wrong or waited > HOST_WAIT_MS else 0


if __name__ == "__main__":
    raise SystemExit(main())
