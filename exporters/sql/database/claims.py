"""Tasks that one process does once a day: whichever claims them first.

A process claims a task before it begins, finishes it when it is done, and releases it if it failed. The claim
of a process that dies expires after a while: the task may then be done twice, rather than never.
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
"""How long a claim holds; then its process is taken for dead."""
KEPT: Final = timedelta(days=90)
"""How long a finished task is remembered."""


def claim(engine: Engine, day: date, task: str, lease: timedelta = LEASE) -> bool:
    """Claim a task of a day; return False if it is done, or claimed by another process.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        now = connection.execute(sa.select(tables.utc_now())).scalar_one()
        given_up = sa.and_(table.c.done_at.is_(None), table.c.claimed_at < now - lease)
        row = {"day": day, "task": task, "claimed_at": now}
        return upsert(connection, table, [row], where=given_up) == 1


def finish(engine: Engine, day: date, task: str) -> None:
    """Record that a task is done, and delete the records of long ago.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        now = connection.execute(sa.select(tables.utc_now())).scalar_one()
        row = {"day": day, "task": task, "claimed_at": now, "done_at": now}
        upsert(connection, table, [row], keep=("claimed_at",))
        connection.execute(table.delete().where(table.c.day < day - KEPT))


def release(engine: Engine, day: date, task: str) -> None:
    """Give up a claim, so that the next process can try at once.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    with transaction(engine) as connection:
        claimed = sa.and_(table.c.day == day, table.c.task == task, table.c.done_at.is_(None))
        connection.execute(table.delete().where(claimed))


def last_done(connection: Connection, task: str) -> date | None:
    """Return the last day for which a task is done."""
    query = sa.select(sa.func.max(table.c.day)).where(table.c.task == task, table.c.done_at.is_not(None))
    found: date | None = connection.execute(query).scalar()
    return found
