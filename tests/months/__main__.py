"""Two simulated months, judged by the alert rules: ``python -m tests.months [--seed N] [--quiet-months]``.

It prints each incident with its alerts and when they fired, what fired without a reason, precision and
recall. The exit status is 1 unless both are 100 %.
"""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from .incidents import INCIDENTS
from .page import PAGE, SEED, after, page, summary
from .scene import local
from .verdict import Verdict, verdict


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.months", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quiet-months", action="store_true", help="without incidents")
    parser.add_argument("--write", action="store_true", help=f"write docs/reference/{PAGE.name}")
    given = parser.parse_args()
    result = verdict(given.seed, () if given.quiet_months else INCIDENTS)
    _print(result, Console(highlight=False))
    if given.write:
        PAGE.write_text(page(result), encoding="utf-8")
    return 0 if result.precision == result.recall == 1 else 1


def _print(result: Verdict, console: Console) -> None:
    table = Table("incident", "alert", "fired after", title=f"Seed {result.seed}")
    for incident in result.incidents:
        for number, alert in enumerate(incident.alerts):
            when = f"{local(incident.begin):%a %d %b %H:%M}  {incident.what}" if not number else ""
            table.add_row(when, alert, after(incident, result.of(incident, alert)))
    console.print(table)
    for one in result.false:
        period = f"{local(one.begin):%a %d %b %H:%M} to {local(one.end):%a %d %b %H:%M}"
        console.print(f"Without a reason: {one.alert} {one.labels}, {period}")
    console.print(f"{summary(result)}. Precision {result.precision:.1%}, recall {result.recall:.1%}.")


if __name__ == "__main__":
    raise SystemExit(main())
