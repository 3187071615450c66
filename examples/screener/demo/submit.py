"""Analyses for a system that runs: ``python -m examples.screener.demo.submit http://app:8000``.

It submits the two analyses of the demo, and then a small one again and again, so that there is always
something to see. SCREENER_PASSWORD is the password of the user.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import requests
from rich.console import Console

from examples.screener.auth import PASSWORD
from examples.screener.client import ScreenerError

from .errors import DemoError
from .service import Service
from .steps import Steps
from .submission import Submission

RETRY = 5.0
"""Seconds until it tries again, if the app cannot be used."""
FAILURES = (requests.RequestException, ScreenerError, DemoError, TimeoutError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Submit analyses until the process is stopped; or, with ``--every 0``, the first two."""
    parser = argparse.ArgumentParser(prog="python -m examples.screener.demo.submit", description=__doc__)
    parser.add_argument("url", help="address of the app")
    parser.add_argument("--every", type=float, default=300.0, metavar="SECONDS", help="default: %(default)g")
    parser.add_argument("--mark", type=Path, metavar="FILE", help="file that is written after the first two")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    with Steps(console) as steps:
        user = Submitter(options.url, steps, console)
        user.submit(Submission.perform)
        if options.mark:
            options.mark.touch()
        while options.every:
            time.sleep(options.every)
            user.submit(Submission.perform_small)


class Submitter:
    """A user who tries again where something fails."""

    def __init__(self, url: str, steps: Steps, console: Console) -> None:
        self._url, self._steps, self._console = url, steps, console
        self._password = os.environ.get("SCREENER_PASSWORD") or PASSWORD

    def submit(self, what: Callable[[Submission], object]) -> None:
        """Submit analyses, however long that takes."""
        while True:
            submission = Submission(self._url, Service(), self._steps, lambda: None, self._password)
            try:
                what(submission)
                return
            except FAILURES as error:
                self._console.print(f"The app could not be used, trying again: {error}", markup=False)
                time.sleep(RETRY)


if __name__ == "__main__":
    main()
