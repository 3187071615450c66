"""Keeps a fork out of the writer's database transactions.

What another thread holds at a fork stays held in the child for ever. SQLite remembers per process who has
locked a file: a child forked in the middle of a transaction finds the file locked by a thread that it does
not have, and can never write to it. So whoever forks waits for the transaction under way, and none begins
meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from telemetry._internal.process.forks import register_at_fork

LONGEST_WAIT_SECONDS: Final = 0.5
"""A host that forks is not held up longer, as when the database does not answer.

A child that then cannot write leaves its rollups in the spool, and another process delivers them.
"""


class ForkGate:
    """Transactions pass it; a fork closes it once they are through."""

    def __init__(self) -> None:
        """Stand open, with nobody inside."""
        self.renew()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside: a fork waits for the end of the block."""
        with self._condition:
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and wait until nobody is inside."""
        self._condition.acquire()
        self._condition.wait_for(lambda: self._inside == 0, LONGEST_WAIT_SECONDS)

    def open(self) -> None:
        """Let them in again."""
        self._condition.release()

    def renew(self) -> None:
        """Stand open in a forked child too, where whoever was inside is not there."""
        self._condition = threading.Condition()
        self._inside = 0


gate: Final = ForkGate()
"""The gate of this process."""

register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.renew)
