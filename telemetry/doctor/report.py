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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final, TextIO

from opentelemetry import _logs, metrics, trace

from telemetry._internal.process.interrupt import ends_at_once
from telemetry._internal.secrets import without_secrets
from telemetry.setup import process as setup

from . import CHECKS, Check, Patient, listening

if TYPE_CHECKING:
    from flask import Flask

_MARKS: Final = {"good": ("✓", "32"), "bad": ("✗", "31"), "note": ("!", "33")}
"""Mark and colour of each result."""
_PLAIN: Final = {"good": "ok", "bad": "NO", "note": "! "}
"""Marks for terminals that cannot show the others."""
WIDTH: Final = 40
"""Of the line that says what is looked at."""
MOST: Final = 100
"""Exit statuses end at 255, and shells have uses of their own for those from 126 on."""


def main(
    load_app: Callable[[], Flask] | None = None,
    out: TextIO | None = None,
    *,
    with_run: bool = True,
    as_json: bool = False,
    verbose: bool = False,
) -> int:
    """Print the report and return the exit status: how many things are wrong.

    Args:
        load_app: loads the Flask application; without it, the environment alone is looked at.
        out: where to; default: standard output.
        with_run: whether to make a synthetic run.
        as_json: print one JSON object instead of lines.
        verbose: print a line for what is fine, too, and not only how many things are.
    """
    out, patient = out or sys.stdout, Patient(load_app, with_run)
    begin = _progress(out) if not as_json and out.isatty() else None
    with listening([], "telemetry", "opentelemetry"):
        checks = list(examine(patient, begin))
        if as_json:
            print(
                json.dumps({"wrong": _wrong(checks), "checks": [asdict(each) for each in checks]}), file=out
            )
        else:
            print(*_report(checks, out, verbose), sep="\n", file=out)
        out.flush()
        _leave(patient)
    return min(_wrong(checks), MOST)


def examine(patient: Patient, begin: Callable[[str], None] | None = None) -> Iterator[Check]:
    """Look at everything, one after the other.

    Args:
        patient: the process.
        begin: is called before each, with what is looked at; with an empty string at the end.
    """
    for check in CHECKS:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        if begin is not None:
            begin(name)
        try:
            for found in check(patient):
                yield replace(found, text=without_secrets(found.text), remedy=without_secrets(found.remedy))
        except Exception as error:  # the other lines are still worth reading
            yield Check(
                "bad",
                name,
                without_secrets(f"cannot be checked: {type(error).__name__}: {error}"),
                "report this",
            )
    if begin is not None:
        begin("")


def _progress(out: TextIO) -> Callable[[str], None]:
    """Return what shows on a terminal that the doctor is at it; the next line takes its place."""

    def show(name: str) -> None:
        shown = f"looking at: {name}" if name else ""
        out.write(f"\r{shown:<{WIDTH}}\r{shown}")
        out.flush()

    return show


def _wrong(checks: Sequence[Check]) -> int:
    return sum(check.result == "bad" for check in checks)


def _report(checks: Sequence[Check], out: TextIO, verbose: bool) -> list[str]:
    """Return what is wrong, then what is worth knowing, then what is fine, if only their number."""
    found = {
        result: [_line(check, out) for check in checks if check.result == result]
        for result in ("bad", "note", "good")
    }
    fine = found["good"]
    if fine and not verbose:
        text = "1 thing is fine" if len(fine) == 1 else f"{len(fine)} things are fine"
        fine = [_line(Check("good", "", f"{text} (-v lists them)"), out)]
    return [*found["bad"], *found["note"], *fine, _summary(len(found["bad"]))]


def _leave(patient: Patient) -> None:
    """End telemetry, without waiting for a Collector that does not answer."""
    setup.shutdown(0)
    if patient.unsent:
        providers = trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()
        from .probes.exporters import Exporters

        Exporters(*providers).end()


def _line(check: Check, out: TextIO) -> str:
    mark, colour = _MARKS[check.result]
    if out.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\033[{colour}m{mark}\033[0m"
    subject = check.subject and f"{check.subject:<15} "
    line = f"{mark} {subject}{check.text}" + (f" → {check.remedy}" if check.remedy else "")
    if _shows(line, out):
        return line
    plain = f"{_PLAIN[check.result]} {subject}{check.text}" + (f" -> {check.remedy}" if check.remedy else "")
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


def command() -> int:
    """Do what ``python -m telemetry.doctor`` asks for; return its exit status."""
    parser = argparse.ArgumentParser("python -m telemetry.doctor", description="Say what works and what not.")
    parser.add_argument("--no-run", action="store_true", help="make no synthetic run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="print a line for what is fine, too")
    given = parser.parse_args()
    with ends_at_once():
        return main(with_run=not given.no_run, as_json=given.json, verbose=given.verbose)
