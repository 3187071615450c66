"""Report what works and what does not, and how to repair it: ``flask telemetry doctor``.

Without Flask, it is ``python -m telemetry.doctor``. It sets telemetry up in its own process as the
application would, and makes one synthetic run, which no total counts and which is removed again. The exit
status is the number of things that are wrong, so that a deployment can depend on it.
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
from telemetry._internal.urls.secrets import without_secrets
from telemetry.setup import process as setup

from . import CHECKS, Check, Patient, listening

if TYPE_CHECKING:
    from flask import Flask

_MARKS: Final = {"good": ("✓", "32"), "bad": ("✗", "31"), "note": ("!", "33")}
"""Mark and colour by result."""
_PLAIN: Final = {"good": "ok", "bad": "NO", "note": "! "}
"""Marks for terminals that cannot show these."""
WIDTH: Final = 40
"""Width of the progress line."""
MOST: Final = 100
"""Maximum exit status: shells use those from 126 on themselves."""


def main(
    load_app: Callable[[], Flask] | None = None,
    out: TextIO | None = None,
    *,
    with_run: bool = True,
    as_json: bool = False,
    verbose: bool = False,
) -> int:
    """Print the report, and return the exit status: the number of things that are wrong.

    Args:
        load_app: returns the Flask application; without it, only the environment is checked.
        out: stream to print to; default: standard output.
        with_run: whether to make a synthetic run.
        as_json: whether to print one JSON object instead of lines.
        verbose: whether to list what is fine, too, instead of only its number.
    """
    out, patient = out or sys.stdout, Patient(load_app, with_run)
    begin = _progress(out) if not as_json and out.isatty() else None
    with listening([], "telemetry", "opentelemetry"):
        checks = list(examine(patient, begin))
        if as_json:
            print(
                json.dumps({"wrong": _wrong(checks), "checks": [asdict(check) for check in checks]}), file=out
            )
        else:
            print(*_report(checks, out, verbose), sep="\n", file=out)
        out.flush()
        _leave(patient)
    return min(_wrong(checks), MOST)


def examine(patient: Patient, begin: Callable[[str], None] | None = None) -> Iterator[Check]:
    """Yield the results of all checks.

    Args:
        patient: the process to examine.
        begin: called before each check with its name, and with an empty string at the end.
    """
    for check in CHECKS:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        if begin is not None:
            begin(name)
        try:
            for line in check(patient):
                yield replace(line, text=without_secrets(line.text), remedy=without_secrets(line.remedy))
        except Exception as error:  # the other checks are still useful
            yield Check(
                "bad",
                name,
                without_secrets(f"cannot be checked: {type(error).__name__}: {error}"),
                "report this",
            )
    if begin is not None:
        begin("")


def _progress(out: TextIO) -> Callable[[str], None]:
    """Return a function that shows the current check on a terminal, in a line that is overwritten."""

    def show(name: str) -> None:
        shown = f"checking: {name}" if name else ""
        out.write(f"\r{shown:<{WIDTH}}\r{shown}")
        out.flush()

    return show


def _wrong(checks: Sequence[Check]) -> int:
    return sum(check.result == "bad" for check in checks)


def _report(checks: Sequence[Check], out: TextIO, verbose: bool) -> list[str]:
    """Return lines: first what is wrong, then notes, then what is fine, or only its number."""
    lines = {
        result: [_line(check, out) for check in checks if check.result == result]
        for result in ("bad", "note", "good")
    }
    fine = lines["good"]
    if fine and not verbose:
        text = "1 thing is fine" if len(fine) == 1 else f"{len(fine)} things are fine"
        fine = [_line(Check("good", "", f"{text} (-v lists them)"), out)]
    return [*lines["bad"], *lines["note"], *fine, _summary(len(lines["bad"]))]


def _leave(patient: Patient) -> None:
    """Shut telemetry down, without waiting for a Collector that does not answer."""
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
    """Run ``python -m telemetry.doctor``, and return its exit status."""
    parser = argparse.ArgumentParser(
        "python -m telemetry.doctor", description="Check what works, what does not, and what to do."
    )
    parser.add_argument("--no-run", action="store_true", help="make no synthetic run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="list also what is fine")
    given = parser.parse_args()
    with ends_at_once():
        return main(with_run=not given.no_run, as_json=given.json, verbose=given.verbose)
