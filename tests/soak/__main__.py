"""Many analyses under fire: ``python -m tests.soak [--analyses N] [--seed N]``, or ``make soak``.

Processes are killed, the database is stopped, crashed and cut off, spools are full, and what is in them is
delivered twice and late. In the end every run that ended stands in the database once and exactly, every one
that was cut short as far as its last snapshot. The last line is JSON; the exit status is 1 unless so.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from rich.console import Console

from examples.screener.demo.steps import Steps
from tests.soak.fire import work_under_fire
from tests.soak.system import System
from tests.soak.verdict import judge

SHOWN = 20
"""Lines of what went wrong, at most."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--analyses", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, Steps(console) as steps:
        with System(Path(folder), given.analyses) as system:
            with steps.step(f"{given.analyses} analyses under fire", given.analyses) as report:
                damage = work_under_fire(system, given.seed, report)
            verdict = judge(system)
    for line in (*verdict.lost, *verdict.doubled)[:SHOWN]:
        console.print(f"[red]✗[/] {line}", soft_wrap=True)
    console.print(
        f"{damage.killed} processes killed, {damage.outages} outages, connections cut {damage.cut} times, "
        f"{damage.repeated} snapshots delivered again; the spool held {damage.largest_spool:,} bytes at "
        f"most. The longest block of a host thread was {verdict.longest_block_ms:.0f} ms, where a plain file "
        f"replacement took up to {verdict.longest_plain_ms:.0f} ms."
    )
    result = {
        "name": "soak",
        "ended": verdict.ended,
        "killed": verdict.cut_short,
        "killed_while_opening": verdict.begun_unnoted,
        "outages": damage.outages,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "largest_spool_bytes": damage.largest_spool,
        "longest_block_ms": verdict.longest_block_ms,
        "longest_plain_ms": verdict.longest_plain_ms,
    }
    print(json.dumps(result))
    return 1 if verdict.lost or verdict.doubled else 0


if __name__ == "__main__":
    raise SystemExit(main())
