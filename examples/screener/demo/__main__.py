"""Command line of the demo: ``python -m examples.screener.demo [--serve]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

import requests
from rich.console import Console
from rich.markup import escape

from examples.screener.client import ScreenerError

from .database import Database
from .errors import DemoError
from .figures import Source, compare
from .folder import Folder
from .ledger import ledger_figures
from .metrics import Scrape
from .processes import Processes
from .report import print_agreement, print_invitation, print_outlook, print_report
from .service import Service
from .stack import Stack
from .steps import Steps
from .submission import Submission, Submitted

WIDTH = 100
DELIVERY = 30.0
"""Seconds within which telemetry must deliver everything."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.screener.demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="leave the app running until Ctrl-C")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    _ask_own_machine_directly()
    console = _console()
    try:
        Demo(console).run(serve=options.serve)
    except DemoError as error:
        return _complain(Console(stderr=True, highlight=False), error)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    return 0


class Demo:
    """One run of the demo."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.service = Service.choose()
        self.folder = Folder.from_environment()
        self.database = Database(self.folder.database)

    def run(self, serve: bool) -> None:
        """Start everything, submit the samples, report, and stop everything.

        Raises:
            DemoError: a step failed, or the totals differ.
        """
        with ExitStack() as stack:
            self._begin(is_again=stack.enter_context(self.folder.claimed()))
            processes = stack.enter_context(Processes())
            system = Stack(self.folder, self.service, processes)
            with Steps(self.console) as steps:
                submitted = self._perform(system, steps)
                scrape = self._settle(system, steps)
            agree = self._report(system, submitted, scrape)
            if serve:
                self._serve(system, scrape)
        if not agree:
            raise DemoError("The totals differ, as marked above: something was not counted right.")

    def _begin(self, is_again: bool) -> None:
        if is_again:
            removed = f"Starting afresh: what the last demo left in {self.folder.path} is removed."
            self.console.print(escape(removed), style="dim")
        if self.service.cost_hint:
            self.console.print(f"[yellow]{self.service.cost_hint}")

    def _perform(self, system: Stack, steps: Steps) -> list[Submitted]:
        with steps.step("Setting up database and users"):
            system.prepare()
        with steps.step("Starting application and worker"):
            system.serve()
        try:
            submitted = Submission(system.url, self.service, steps, system.processes.check).perform()
        except (requests.RequestException, ScreenerError, TimeoutError) as error:
            system.processes.check()
            raise DemoError(f"The app did not do as asked: {error}", self.folder.log("app")) from error
        return submitted

    def _settle(self, system: Stack, steps: Steps) -> Scrape:
        """Wait until everything is delivered to the database, and return the metrics of that moment."""
        waited = "Telemetry did not deliver"
        with steps.step("Waiting until telemetry has delivered"):
            system.processes.wait_until(self._is_settled, waited, DELIVERY, self.folder.log("worker"))
            return Scrape(self.folder.spool)

    def _is_settled(self) -> bool:
        try:
            return Scrape(self.folder.spool).is_settled and self.database.is_settled()
        except OSError:  # a listener has ended
            return False

    def _report(self, system: Stack, submitted: list[Submitted], scrape: Scrape) -> bool:
        sources = [
            Source("SQL", self.database.figures()),
            Source("metrics", scrape.figures(), is_exact=False),
        ]
        if self.service.is_standin:
            sources.append(Source("ledger", ledger_figures(system.ledger())))
        lines = compare(sources)
        print_report(self.console, self.database.analyses(), submitted, self.database.unaccounted())
        print_agreement(self.console, sources, lines)
        print_outlook(
            self.console, self.folder.database, self.folder.ledger if self.service.is_standin else None
        )
        return all(line.agrees for line in lines)

    def _serve(self, system: Stack, scrape: Scrape) -> None:
        try:
            print_invitation(self.console, system.url, scrape.urls)
            while True:
                system.processes.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            self.console.print("\nStopping.")


def _console() -> Console:
    """Return a console of at most `WIDTH` columns; characters outside its encoding become question marks."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def _complain(console: Console, error: DemoError) -> int:
    console.print(f"[bold red]✗[/] {escape(str(error))}", soft_wrap=True)
    if error.tail:
        console.print(escape(error.tail), style="dim", soft_wrap=True)
    return 1


def _ask_own_machine_directly() -> None:
    """Ignore proxies of the environment, in this process and in all that it starts."""
    given = os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")
    hosts = ",".join(filter(None, [given, "127.0.0.1", "localhost"]))
    os.environ |= {"NO_PROXY": hosts, "no_proxy": hosts}


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
