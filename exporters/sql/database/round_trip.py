"""Several statements for PostgreSQL in one round trip."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine

from . import fork_gate
from .engine import ALONE
from .limits import LOCK_TIMEOUT_MS

HELD_MS: Final = 2000
"""Longest time for which the server may be at work on locked rows of the host's."""


def at_once(engine: Engine, variables: Mapping[str, str], text: str, *, take_back: bool = False) -> Any:
    """Let PostgreSQL run statements in one round trip, as one transaction; return the row of the last one.

    It commits them whether this process goes on or not: what they lock is free again when they are done.

    Args:
        engine: for PostgreSQL.
        variables: of the transaction, for ``current_setting``: several statements in one text take no values.
        text: statements as :func:`as_text` puts them together; the last returns one row.
        take_back: whether it is only a trial; then what is locked is held until this process ends it.
    """
    variables = _AT_ONCE | {name: _quoted(value) for name, value in variables.items()}
    calls = ", ".join(f"set_config('{name}', {value}, true)" for name, value in variables.items())
    options = {} if take_back else {"isolation_level": "AUTOCOMMIT", ALONE: True}
    with fork_gate.gate.passed(), engine.connect() as connection:
        return _last_row(connection.execution_options(**options), f"SELECT {calls}; {text}")


_AT_ONCE: Final = {
    "synchronous_commit": "'off'",  # what is noted after it waits for the disk
    "lock_timeout": f"'{LOCK_TIMEOUT_MS}'",
    "statement_timeout": f"'{HELD_MS}'",
}


def _quoted(value: str) -> str:
    """Return a text for PostgreSQL, written so that nothing in it has to be quoted."""
    return f"convert_from(decode('{base64.b64encode(value.encode()).decode()}', 'base64'), 'UTF8')"


def as_text(statements: Sequence[sa.Executable]) -> str:
    """Return statements without parameters as one text for PostgreSQL."""
    literally = {"literal_binds": True}
    compiled = (one.compile(dialect=_POSTGRESQL, compile_kwargs=literally) for one in statements)  # type: ignore[attr-defined]
    return "; ".join(map(str, compiled))


_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def _last_row(connection: Connection, text: str) -> Any:
    cursor: Any = connection.execution_options(no_parameters=True).exec_driver_sql(text).cursor
    while connection.dialect.driver == "psycopg" and cursor.nextset():
        pass  # the other drivers have the last result at once, and no other
    return cursor.fetchone()
