"""Executes several statements on PostgreSQL in one round trip."""

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
"""Longest duration of a statement, because it holds locks on rows of the host."""


def at_once(engine: Engine, variables: Mapping[str, str], text: str, *, roll_back: bool = False) -> Any:
    """Execute statements on PostgreSQL in one round trip, as one transaction; return the row of the last.

    The server commits them even if this process stops meanwhile, so their locks are released in any case.

    Args:
        engine: an engine for PostgreSQL.
        variables: settings of the transaction for ``current_setting``, because a text of several statements
            cannot have parameters.
        text: statements from :func:`as_text`; the last one returns one row.
        roll_back: whether this is a trial; its locks are then held until this process rolls it back.
    """
    variables = _SETTINGS | {name: _quoted(value) for name, value in variables.items()}
    calls = ", ".join(f"set_config('{name}', {value}, true)" for name, value in variables.items())
    options = {} if roll_back else {"isolation_level": "AUTOCOMMIT", ALONE: True}
    with fork_gate.gate.passed(), engine.connect() as connection:
        return _last_row(connection.execution_options(**options), f"SELECT {calls}; {text}")


_SETTINGS: Final = {
    "synchronous_commit": "'off'",  # the transaction that notes the update afterwards waits for the disk
    "lock_timeout": f"'{LOCK_TIMEOUT_MS}'",
    "statement_timeout": f"'{HELD_MS}'",
}


def _quoted(value: str) -> str:
    """Return an expression for a text without characters that need quoting."""
    return f"convert_from(decode('{base64.b64encode(value.encode()).decode()}', 'base64'), 'UTF8')"


def as_text(statements: Sequence[sa.Executable]) -> str:
    """Return statements as one text for PostgreSQL, with literal values instead of parameters."""
    literally = {"literal_binds": True}
    compiled = (one.compile(dialect=_POSTGRESQL, compile_kwargs=literally) for one in statements)  # type: ignore[attr-defined]
    return "; ".join(map(str, compiled))


_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def _last_row(connection: Connection, text: str) -> Any:
    cursor: Any = connection.execution_options(no_parameters=True).exec_driver_sql(text).cursor
    while connection.dialect.driver == "psycopg" and cursor.nextset():
        pass  # the other drivers keep only the last result
    return cursor.fetchone()
