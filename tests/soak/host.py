"""The host's own writes to rows that telemetry writes as well: how long they wait, and which are lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Self

import sqlalchemy as sa

from tests.soak.tenant import Tenant

PAUSE: Final = 0.02
"""Seconds between two writes."""
_COUNT: Final = sa.text("UPDATE analyses SET num_criteria = num_criteria + 1 WHERE id = :id")
_CONTROL: Final = sa.text("UPDATE soak_control SET n = n + 1")


class HostWriter:
    """Increments a column of the analyses, and for comparison a row that only the host writes."""

    def __init__(self, tenant: Tenant, open_runs: Sequence[int], seed: int) -> None:
        """Write to the analyses in ``open_runs``, a sequence that the caller changes meanwhile."""
        self.longest_ms = self.longest_control_ms = 0.0
        self.written: Counter[int] = Counter()
        """Committed writes, by analysis."""
        self.uncertain: Counter[int] = Counter()
        """Writes whose connection broke before the server answered."""
        self._tenant = tenant
        self._open_runs = open_runs
        self._chance = random.Random(seed)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        with self._tenant.engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE soak_control (n INTEGER NOT NULL)"))
            connection.execute(sa.text("INSERT INTO soak_control VALUES (0)"))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._thread.join()

    def lost(self) -> list[str]:
        """Return the writes that were lost."""
        rows = self._tenant.rows("SELECT id, num_criteria FROM analyses")
        return [
            f"analysis {row['id']}: {row['num_criteria']} of {self.written[row['id']]} writes of the host's"
            for row in rows
            if not 0 <= row["num_criteria"] - self.written[row["id"]] <= self.uncertain[row["id"]]
        ]

    def _run(self) -> None:
        while not self._is_over.wait(PAUSE):
            try:
                with self._tenant.engine.connect() as connection:
                    while not self._is_over.wait(PAUSE):
                        self._write(connection)
            except sa.exc.DBAPIError:  # the server is stopped
                continue

    def _write(self, connection: sa.Connection) -> None:
        if not self._open_runs:
            return
        number = self._chance.choice(self._open_runs)
        control = _milliseconds_of(connection, _CONTROL)
        self.uncertain[number] += 1
        own = _milliseconds_of(connection, _COUNT, id=number)
        self.uncertain[number] -= 1
        self.written[number] += 1
        self.longest_control_ms = max(self.longest_control_ms, control)
        self.longest_ms = max(self.longest_ms, own)


def _milliseconds_of(connection: sa.Connection, statement: sa.TextClause, **values: int) -> float:
    """Execute and commit a write; return how long that took."""
    started = time.monotonic()
    connection.execute(statement, values)
    connection.commit()
    return (time.monotonic() - started) * 1000
