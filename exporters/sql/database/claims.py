"""What is to happen once a day, whichever process comes to it first.

A task is claimed before it is begun, finished when it is done, and released when it failed. Whoever dies in
between gives it up after a while: then it may happen twice rather than never.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.sql.schema import tables
from exporters.sql.schema.tables import daily_tasks as table

from .engine import transaction
from .statements import upsert

LEASE: Final = timedelta(minutes=15)
"""How long a task may take before whoever claimed it is taken for dead."""
KEPT: Final = timedelta(days=90)
"""How long a task that was done is remembered."""


def claim(engine: Engine, day: date, task: str, lease: timedelta = LEASE) -> bool:
    """Claim a task of a day; False when it is done, or somebody is at it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        now = connection.execute(sa.select(tables.utc_now())).scalar_one()
        given_up = sa.and_(table.c.done_at.is_(None), table.c.claimed_at < now - lease)
        row = {"day": day, "task": task, "claimed_at": now}
        return upsert(connection, table, [row], where=given_up) == 1


def finish(engine: Engine, day: date, task: str) -> None:
    """Remember that a task is done, and forget what was done long before.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        now = connection.execute(sa.select(tables.utc_now())).scalar_one()
        row = {"day": day, "task": task, "claimed_at": now, "done_at": now}
        upsert(connection, table, [row], keep=("claimed_at",))
        connection.execute(table.delete().where(table.c.day < day - KEPT))


def release(engine: Engine, day: date, task: str) -> None:
    """Give up a claim: the next one who comes may try at once.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        mine = sa.and_(table.c.day == day, table.c.task == task, table.c.done_at.is_(None))
        connection.execute(table.delete().where(mine))


def last_done(connection: Connection, task: str) -> date | None:
    """Return the last day of which a task is done."""
    query = sa.select(sa.func.max(table.c.day)).where(table.c.task == task, table.c.done_at.is_not(None))
    found: date | None = connection.execute(query).scalar()
    return found
