"""Warnings that users were shown about their documents, and what they did then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from telemetry.conventions import ABANDONED
from telemetry.settings import Settings

from . import schema
from .database import create_engine, fit, transaction
from .ownership import is_ours
from .schema import document_warnings as table
from .totals import Totals

DAY: Final = timedelta(days=1)


class TooManyWarnings(Exception):
    """A user has had so many warnings in 24 hours that no more are recorded."""


class UserWarnings:
    """The warnings of one database."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            ValueError: for a URL that cannot be used.
        """
        self._engine = create_engine(settings.database_url)
        self._most = settings.warnings_per_day
        self._totals = Totals()

    def add(self, user_id: int, warning_type: str, **facts: Any) -> int:
        """Record that a user was shown a warning, and return its id.

        Args:
            user_id: the host's id of the user.
            warning_type: one of TELEMETRY_WARNING_TYPES.
            facts: ``document_count``, ``document_size`` (bytes), ``subject`` as of a run, ``analysis_id``,
                ``additional_data`` (anything JSON can tell).

        Raises:
            TooManyWarnings: when the user has had TELEMETRY_WARNINGS_PER_DAY.
            LookupError: when the table is the host's own.
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        more = facts.pop("additional_data", None)
        row = {"user_id": user_id, "warning_type": warning_type, **facts}
        row["additional_data"] = json.dumps(more, ensure_ascii=False) if more else None
        with transaction(self._engine, impatient=True) as connection:
            self._insist(connection)
            now: datetime = connection.execute(sa.select(schema.utc_now())).scalar_one()
            lately = sa.select(sa.func.count()).where(table.c.user_id == user_id)
            if (
                connection.execute(lately.where(table.c.warning_shown_at > now - DAY)).scalar_one()
                >= self._most
            ):
                raise TooManyWarnings(f"{self._most} warnings in 24 hours")
            row = fit(table, row, self._totals) | {"warning_shown_at": now}
            insert = table.insert().values(row).returning(table.c.id)
            return int(connection.execute(insert).scalar_one())

    def answer(self, user_id: int, warning_id: int, action: str) -> str | None:
        """Note what a user did after a warning of their own; None when there is no such warning.

        The first answer stands, unless nobody gave it: what was taken for abandoned may be answered late.

        Returns:
            The type of the warning.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        mine = sa.and_(table.c.id == warning_id, table.c.user_id == user_id)
        open_ones = sa.or_(table.c.user_action.is_(None), table.c.user_action == ABANDONED)
        with transaction(self._engine, impatient=True) as connection:
            self._insist(connection)
            connection.execute(table.update().where(mine, open_ones).values(user_action=action))
            return connection.execute(sa.select(table.c.warning_type).where(mine)).scalar()

    def close(self) -> None:
        """Leave the database."""
        self._engine.dispose()

    def _insist(self, connection: Connection) -> None:
        if not is_ours(connection, table):
            raise LookupError(f"{table.name} is the application's own: it records its warnings itself")


def abandon(engine: Engine, age: timedelta) -> int:
    """Call warnings abandoned that nobody answered for ``age``; return how many."""
    with transaction(engine) as connection:
        if not is_ours(connection, table):
            return 0
        now: datetime = connection.execute(sa.select(schema.utc_now())).scalar_one()
        unanswered = sa.and_(table.c.user_action.is_(None), table.c.warning_shown_at < now - age)
        return connection.execute(table.update().where(unanswered).values(user_action=ABANDONED)).rowcount


def attach(connection: Connection, analysis_id: int, runs: list[Mapping[str, Any]]) -> None:
    """Tie warnings about a subject to the analysis that its runs are linked to.

    The row of the analysis is held: warnings that somebody else is at work on are left for the next time.
    """
    subjects = {(run["subject"], run["user_ref"]) for run in runs if run["subject"]}
    for subject, user in subjects if subjects and is_ours(connection, table) else ():
        mine = sa.and_(
            table.c.analysis_id.is_(None),
            table.c.subject == subject,
            table.c.user_id.is_not_distinct_from(user),
        )
        free = sa.select(table.c.id).where(mine).with_for_update(skip_locked=True)
        ids = list(connection.execute(free).scalars())
        if ids:
            connection.execute(table.update().where(table.c.id.in_(ids)).values(analysis_id=analysis_id))
