"""Time limits of our transactions on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy.engine import Connection

LOCK_TIMEOUT_MS: Final = 200
"""Longest wait for a lock on a host row.

It is below PostgreSQL's deadlock_timeout, so in a deadlock we give up before the host is made to.
"""

IDLE_TIMEOUT_MS: Final = 5000
"""Longest idle time of a transaction that can keep a row of the host from being deleted.

Transactions that lock a row to update it never idle; see :mod:`.round_trip`.
"""


class Limits(NamedTuple):
    """Limits in seconds, after which PostgreSQL cancels a statement or the transaction."""

    lock: float
    """Of the wait for one lock."""
    statement: float
    """Of one statement, waits for locks included."""
    idle: float
    """Of the time between two statements: a stopped process holds no lock for longer."""


DELIVERY: Final = Limits(lock=5, statement=30, idle=10)
"""For the writer and for requests: short transactions, which are tried again."""
COMMAND: Final = Limits(lock=10, statement=600, idle=300)
"""For changes by an operator or the daily check, which may concern many rows."""
READING: Final = Limits(lock=10, statement=3600, idle=600)
"""For reports, exports and checks: they block nobody, and a download may be slow."""


def set_limits(connection: Connection, limits: Limits, **others: str) -> None:
    """Set the limits of the current transaction on PostgreSQL, and of no later one.

    Args:
        connection: a connection of ours, or of the host.
        limits: the limits, in seconds.
        others: more settings of PostgreSQL.
    """
    if connection.dialect.name != "postgresql":
        return
    set_local(connection, _settings(limits) | others)


def set_local(connection: Connection, local: Mapping[str, str]) -> None:
    """Change settings of PostgreSQL for the current transaction."""
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in local.items())
    connection.exec_driver_sql(f"SELECT {calls}").close()  # SET LOCAL would need a statement for each


def _settings(limits: Limits) -> dict[str, str]:
    return {
        "lock_timeout": _milliseconds(limits.lock),
        "statement_timeout": _milliseconds(limits.statement),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle),
    }


def _milliseconds(seconds: float) -> str:
    return str(max(int(seconds * 1000), 1))  # 0 would mean no limit
