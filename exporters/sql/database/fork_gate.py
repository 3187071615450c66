"""Keeps forks out of database transactions.

A lock that another thread holds during a fork stays locked in the child for ever. SQLite records in the
process who has locked a file, so a child that was forked during a transaction finds the file locked by a
thread that it does not have, and can never write to it. So a fork waits for the transactions under way, and
none begins meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from telemetry._internal.process.forks import register_at_fork

LONGEST_WAIT_SECONDS: Final = 0.5
"""Longest time that a fork of the host waits, such as for a database that does not answer.

A child that cannot write afterwards leaves its rollups in the spool, and another process delivers them.
"""


class ForkGate:
    """A gate through which transactions pass, and which a fork closes."""

    def __init__(self) -> None:
        """Start open, without a transaction inside."""
        self.renew()

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Make forks wait until the end of the block."""
        with self._condition:
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    def close(self) -> None:
        """Admit no transaction any more, and wait for the end of those inside."""
        self._condition.acquire()
        self._condition.wait_for(lambda: self._inside == 0, LONGEST_WAIT_SECONDS)

    def open(self) -> None:
        """Admit transactions again."""
        self._condition.release()

    def renew(self) -> None:
        """Start anew in a forked child, which does not have the threads that were inside."""
        self._condition = threading.Condition()
        self._inside = 0


gate: Final = ForkGate()
"""The gate of this process."""

register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.renew)
