"""Claims of daily tasks, each of which is done by the first process that claims it.

A process claims a task before it begins, then finishes the claim, or releases it if the task failed. The
claim of a process that dies expires after a while; so a task may be done twice, rather than never.
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
"""How long a claim holds; after that its process counts as dead."""
KEPT: Final = timedelta(days=90)
"""How long the record of a finished task is kept."""


def claim(engine: Engine, day: date, task: str, lease: timedelta = LEASE) -> bool:
    """Claim a task of a day; return False if it is done, or claimed by another process.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    with transaction(engine) as connection:
        now = connection.execute(sa.select(tables.utc_now())).scalar_one()
        has_expired = sa.and_(table.c.done_at.is_(None), table.c.claimed_at < now - lease)
        row = {"day": day, "task": task, "claimed_at": now}
        return upsert(connection, table, [row], where=has_expired) == 1


def finish(engine: Engine, day: date, task: str) -> None:
    """Record that a task is done, and delete old records.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    with transaction(engine) as connection:
        now = connection.execute(sa.select(tables.utc_now())).scalar_one()
        row = {"day": day, "task": task, "claimed_at": now, "done_at": now}
        upsert(connection, table, [row], keep=("claimed_at",))
        connection.execute(table.delete().where(table.c.day < day - KEPT))


def release(engine: Engine, day: date, task: str) -> None:
    """Release a claim, so that another process can try at once.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    with transaction(engine) as connection:
        claimed = sa.and_(table.c.day == day, table.c.task == task, table.c.done_at.is_(None))
        connection.execute(table.delete().where(claimed))


def last_done(connection: Connection, task: str) -> date | None:
    """Return the last day for which a task is done."""
    query = sa.select(sa.func.max(table.c.day)).where(table.c.task == task, table.c.done_at.is_not(None))
    day: date | None = connection.execute(query).scalar()
    return day
