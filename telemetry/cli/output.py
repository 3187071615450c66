"""Standard output of a command: whether there is one, what it does not take, and progress on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import click


def insist_on_output() -> None:
    """Refuse to work where standard output is closed; commands that do more than print go on without."""
    if sys.stdout is None:
        raise click.ClickException("standard output is closed: there is nowhere to write to")


def discard_rest() -> None:
    """Discard what standard output does not take: Python would complain of it once more at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def advance(label: str, length: int, steps: Iterable[int]) -> int:
    """Work through ``steps`` behind a progress bar, which a terminal shows; return their sum."""
    if not length:
        return sum(steps)
    total = 0
    with click.progressbar(length=length, label=label) as bar:
        for step in steps:
            total += step
            bar.update(step)
    return total
