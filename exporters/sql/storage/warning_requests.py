"""Warnings that requests record and answer, while the user waits."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import fit
from exporters.sql.database.limits import DELIVERY
from exporters.sql.schema import tables
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import document_warnings as table
from telemetry.conventions import ABANDONED
from telemetry.settings import Settings

from .warnings import count_lately, user_lock, wait_for_others


class TooManyWarnings(Exception):
    """A user has had so many warnings in 24 hours that no more are recorded."""


class Answered(NamedTuple):
    """A warning to which there was an answer."""

    warning_type: str
    is_news: bool
    """Whether the answer changed anything."""


class UserWarnings:
    """The warnings of one database."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is asked yet.

        Raises:
            ValueError: for a URL that cannot be used.
        """
        self._engine = create_engine(settings.database_url, limits=lambda: DELIVERY)
        self._most = settings.warnings_per_day

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
            wait_for_others(connection, user_lock(user_id))
            now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
            if count_lately(connection, table.c.user_id == user_id, now) >= self._most:
                raise TooManyWarnings(f"{self._most} warnings in 24 hours")
            row = fit(table, row).row | {"warning_shown_at": now}
            insert = table.insert().values(row).returning(table.c.id)
            return int(connection.execute(insert).scalar_one())

    def answer(self, user_id: int, warning_id: int, action: str) -> Answered | None:
        """Note what a user did after a warning of their own; None when there is no such warning.

        The first answer stands, unless nobody gave it: what was taken for abandoned may be answered late.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        is_this = sa.and_(table.c.id == warning_id, table.c.user_id == user_id)
        open_ones = sa.or_(table.c.user_action.is_(None), table.c.user_action == ABANDONED)
        with transaction(self._engine, impatient=True) as connection:
            self._insist(connection)
            news = sa.and_(is_this, open_ones, table.c.user_action.is_distinct_from(action))
            changed = connection.execute(table.update().where(news).values(user_action=action)).rowcount
            kind = connection.execute(sa.select(table.c.warning_type).where(is_this)).scalar()
            return None if kind is None else Answered(kind, changed > 0)

    def close(self) -> None:
        """Leave the database."""
        self._engine.dispose()

    def _insist(self, connection: Connection) -> None:
        if not is_ours(connection, table):
            raise LookupError(f"{table.name} is the application's own: it records its warnings itself")
