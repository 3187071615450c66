"""The worker: `python -m examples.screener.worker` runs analyses that are too large for a request.

SIGTERM (or Ctrl-C) lets it finish the current analysis and end; a second one returns that analysis to the
queue and ends at once. Unfinished analyses of a killed worker are marked as failed when the next one starts.
Without its database it waits until that is there again.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Sequence
from types import FrameType

from flask import Flask
from sqlalchemy.exc import InterfaceError, OperationalError

from . import jobs
from .app import create_app, is_set_up
from .pipeline import perform

log = logging.getLogger(__name__)

RECONNECT_PAUSE = 1.0
"""Seconds between two tries to reach the database."""
BEAT = 1.0
"""Seconds between two signs of life while no job is waiting."""


class Worker:
    """Polls for jobs, and runs one at a time."""

    def __init__(self, app: Flask, poll: float = 0.2) -> None:
        self.app = app
        self.poll = poll
        self._stopping = False
        self._beaten = 0.0

    def run(self, once: bool = False) -> None:
        """Work until stopped; with `once` only until no job is waiting."""
        is_done = False
        while not self._stopping and not is_done:
            try:
                is_done = self._run_connected(once)
            except (OperationalError, InterfaceError) as error:
                log.warning("the database cannot be used, trying again: %s", error.orig)
                time.sleep(RECONNECT_PAUSE)

    def work(self) -> bool:
        """Do one job if there is one; return whether there was."""
        with self.app.app_context():
            analysis_id = jobs.claim()
            if analysis_id is None:
                return False
            log.info("analysis %d begins", analysis_id)
            try:
                completed = perform(analysis_id)
            except BaseException:
                jobs.give_back(analysis_id)
                log.info("analysis %d given back", analysis_id)
                raise
            log.info("analysis %d %s", analysis_id, "completed" if completed else "failed")
            return True

    def _run_connected(self, once: bool) -> bool:
        """Work until stopped, as long as there is a database; return whether all that was to do is done.

        What a dead worker has left, or this one when it lost the database, is marked as failed first.
        """
        with self.app.app_context():
            jobs.fail_abandoned()
        log.info("waiting for jobs")
        while not self._stopping:
            self._beat()
            if self.work():
                continue
            if once:
                return True
            time.sleep(self.poll)
        return True

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= BEAT or not self._beaten:
            self._beaten = now
            with self.app.app_context():
                jobs.beat()

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Handle a signal: the first time finish the current job, the second time return it to the queue."""
        if self._stopping:
            raise SystemExit(0)
        self._stopping = True
        log.info("finishing the analysis at hand: tell it once more to give that back")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the worker as a process."""
    parser = argparse.ArgumentParser(prog="python -m examples.screener.worker", description=__doc__)
    parser.add_argument("--once", action="store_true", help="do what is waiting, then end")
    parser.add_argument("--poll", type=float, default=0.2, metavar="SECONDS", help="pause between two looks")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("httpx2", "openai"):  # a line for each request and each retry
        logging.getLogger(chatty).setLevel(logging.WARNING)
    app = create_app()
    if not is_set_up(app):
        raise SystemExit("The tables are missing: run `flask --app examples.screener.wsgi screener init-db`")
    worker = Worker(app, options.poll)
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    worker.run(options.once)


if __name__ == "__main__":
    main()
