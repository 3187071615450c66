"""Standard output of a command: check that it is open, discard the rest, and show progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click


def insist_on_output() -> None:
    """Refuse to work if standard output is closed; commands that do more than print do not need it."""
    if sys.stdout is None:
        raise click.ClickException("standard output is closed: there is nowhere to write to")


def discard_rest() -> None:
    """Discard what cannot be written to standard output: Python would report it again at exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def advance(label: str, length: int, steps: Iterable[int]) -> int:
    """Exhaust ``steps`` with a progress bar on a terminal, and return their sum."""
    if not length:
        return sum(steps)
    total = 0
    with click.progressbar(length=length, label=label) as bar:
        for step in steps:
            total += step
            bar.update(step)
    return total
