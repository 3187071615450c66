"""How long a transaction of ours may take on PostgreSQL, and wait for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy.engine import Connection

LOCK_TIMEOUT_MS: Final = 200
"""Longest wait for a lock on a host row.

Below PostgreSQL's deadlock_timeout, so the host is never the victim.
"""


IDLE_TIMEOUT_MS: Final = 5000
"""Longest time for which a transaction that may keep a row of the host's from deletion waits for its process.

What locks a row that is to be updated does not wait for the process at all.
"""


class Limits(NamedTuple):
    """Seconds after which PostgreSQL gives up what a transaction of ours does, or waits for."""

    lock: float
    """For one lock."""
    statement: float
    """For one statement, the time that it waits for locks included."""
    idle: float
    """Between two statements: a process that is stopped keeps no lock for longer."""


DELIVERY: Final = Limits(lock=5, statement=30, idle=10)
"""Of the writer, and of requests: short transactions, which are tried again."""
COMMAND: Final = Limits(lock=10, statement=600, idle=300)
"""Of what an operator or the daily check changes: it may touch many rows."""
READING: Final = Limits(lock=10, statement=3600, idle=600)
"""Of reports, exports and checks: they keep nobody waiting, and a download may be slow."""


def set_limits(connection: Connection, limits: Limits, **others: str) -> None:
    """Limit the transaction that is under way on PostgreSQL, and nothing that comes after it.

    Args:
        connection: of ours, or of the host's.
        limits: in seconds.
        others: more settings of PostgreSQL's.
    """
    if connection.dialect.name != "postgresql":
        return
    set_local(connection, _settings(limits) | others)


def set_local(connection: Connection, local: Mapping[str, str]) -> None:
    """Change settings of PostgreSQL's for the transaction that is under way."""
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in local.items())
    connection.exec_driver_sql(f"SELECT {calls}").close()  # one statement: SET LOCAL would take one for each


def _settings(limits: Limits) -> dict[str, str]:
    return {
        "lock_timeout": _milliseconds(limits.lock),
        "statement_timeout": _milliseconds(limits.statement),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle),
    }


def _milliseconds(seconds: float) -> str:
    return str(max(int(seconds * 1000), 1))  # 0 would be for ever
