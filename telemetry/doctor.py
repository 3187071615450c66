"""``flask telemetry doctor``: says in a line each what works and what does not, and what to do about it.

Without Flask: ``python -m telemetry.doctor``. It sets telemetry up in its own process as the application
would, and makes one synthetic run, which no total counts and which is removed again. The exit status is how
many things are wrong: 0 only when nothing is, so it can stand in a deployment.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Final, TextIO

from opentelemetry import _logs, metrics, trace

from . import setup
from ._checks import CHECKS, Check, Patient, listening, load
from ._interrupt import ends_at_once

_MARKS: Final = {"good": ("✓", "32"), "bad": ("✗", "31"), "note": ("!", "33")}
"""Mark and colour of each result."""
_PLAIN: Final = {"good": "ok", "bad": "NO", "note": "! "}
"""Marks for terminals that cannot show the others."""
MOST: Final = 100
"""Exit statuses end at 255, and shells have uses of their own for those from 126 on."""


def main(
    load_app: Callable[[], Any] | None = None,
    out: TextIO | None = None,
    *,
    with_run: bool = True,
    as_json: bool = False,
) -> int:
    """Print the report and return the exit status: how many things are wrong.

    Args:
        load_app: loads the Flask application; without it, the environment alone is looked at.
        out: where to; default: standard output.
        with_run: whether to make a synthetic run.
        as_json: print one JSON object at the end instead of lines.
    """
    out, patient = out or sys.stdout, Patient(load_app, with_run)
    checks = []
    with listening([], "telemetry", "opentelemetry"):
        for check in examine(patient):
            checks.append(check)
            if not as_json:
                print(_line(check, out), file=out, flush=True)
        wrong = sum(check.result == "bad" for check in checks)
        if as_json:
            print(json.dumps({"wrong": wrong, "checks": [asdict(check) for check in checks]}), file=out)
        else:
            print(_summary(wrong), file=out)
        _leave(patient)
    return min(wrong, MOST)


def examine(patient: Patient) -> Iterator[Check]:
    """Look at everything, one line after the other."""
    for check in CHECKS:
        try:
            yield from check(patient)
        except Exception as error:  # the other lines are still worth reading
            name = check.__name__.removeprefix("check_").replace("_", " ")
            yield Check("bad", name, f"cannot be checked: {type(error).__name__}: {error}", "report this")


def _leave(patient: Patient) -> None:
    """End telemetry, without waiting for a Collector that does not answer."""
    setup.shutdown(0)
    if patient.unsent:
        providers = trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()
        load("exports")(*providers).end()


def _line(check: Check, out: TextIO) -> str:
    mark, colour = _MARKS[check.result]
    if out.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\033[{colour}m{mark}\033[0m"
    line = f"{mark} {check.subject:<15} {check.text}" + (f" → {check.remedy}" if check.remedy else "")
    if _shows(line, out):
        return line
    plain = f"{_PLAIN[check.result]} {check.subject:<15} {check.text}" + (
        f" -> {check.remedy}" if check.remedy else ""
    )
    return plain.encode(out.encoding, "replace").decode(out.encoding)


def _shows(line: str, out: TextIO) -> bool:
    try:
        line.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _summary(wrong: int) -> str:
    if not wrong:
        return "Nothing is wrong."
    return "One thing is wrong." if wrong == 1 else f"{wrong} things are wrong."


def _command() -> int:
    parser = argparse.ArgumentParser("python -m telemetry.doctor", description="Say what works and what not.")
    parser.add_argument("--no-run", action="store_true", help="make no synthetic run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    with ends_at_once():
        return main(with_run=not given.no_run, as_json=given.json)


if __name__ == "__main__":
    sys.exit(_command())
