"""``flask telemetry doctor``: says in a line each what works and what does not, and what to do about it.

Without Flask: ``python -m telemetry.doctor``. It sets telemetry up in its own process as the application
would, and records nothing. The exit status is 0 only when nothing is wrong, so it can stand in a deployment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

from . import setup
from ._checks import CHECKS, Check, Patient

_MARKS: Final = {"good": ("✓", "32"), "bad": ("✗", "31"), "note": ("!", "33")}
"""Mark and colour of each result."""
_PLAIN: Final = {"good": "ok", "bad": "NO", "note": "! "}
"""Marks for terminals that cannot show the others."""


def examine(load_app: Callable[[], Any] | None = None) -> Iterator[Check]:
    """Look at everything, one line after the other.

    Args:
        load_app: loads the Flask application; without it, the environment alone is looked at.
    """
    patient = Patient(load_app)
    for check in CHECKS:
        try:
            yield from check(patient)
        except Exception as error:  # the other lines are still worth reading
            name = check.__name__.removeprefix("check_").replace("_", " ")
            yield Check("bad", name, f"cannot be checked: {type(error).__name__}: {error}", "report this")


def main(load_app: Callable[[], Any] | None = None, out: TextIO | None = None) -> int:
    """Print the report to ``out`` (default: standard output); return the exit status."""
    out = out or sys.stdout
    wrong = 0
    for check in examine(load_app):
        wrong += check.result == "bad"
        print(_line(check, out), file=out, flush=True)
    print(_summary(wrong), file=out)
    setup.shutdown(0)
    return 1 if wrong else 0


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


if __name__ == "__main__":
    sys.exit(main())
