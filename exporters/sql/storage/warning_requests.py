"""Records warnings, and answers to them, within requests."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import fit
from exporters.sql.database.limits import DELIVERY
from exporters.sql.schema import tables
from exporters.sql.schema.tables import document_warnings as table
from telemetry.conventions import ABANDONED
from telemetry.settings import Settings

from .warnings import count_lately, insist_on_our_table, user_lock, wait_for_others


class TooManyWarnings(Exception):
    """Raised when a user has had the maximum number of warnings in 24 hours."""


class Answered(NamedTuple):
    """A warning that was answered."""

    warning_type: str
    is_news: bool
    """Whether the answer changed anything."""


class UserWarnings:
    """The warnings of one database."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing connects yet.

        Raises:
            ValueError: if the database URL cannot be used.
        """
        self._engine = create_engine(settings.database_url, limits=lambda: DELIVERY)
        self._most = settings.warnings_per_day

    def add(self, user_id: int, warning_type: str, **facts: Any) -> int:
        """Record a warning that was shown to a user, and return its id.

        Args:
            user_id: the host's id of the user.
            warning_type: one of TELEMETRY_WARNING_TYPES.
            facts: ``document_count``, ``document_size`` (bytes), ``subject`` as of a run, ``analysis_id``,
                ``additional_data`` (anything that JSON can hold).

        Raises:
            TooManyWarnings: if the user has had TELEMETRY_WARNINGS_PER_DAY.
            LookupError: if the table belongs to the host.
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        more = facts.pop("additional_data", None)
        row = {"user_id": user_id, "warning_type": warning_type, **facts}
        row["additional_data"] = json.dumps(more, ensure_ascii=False) if more else None
        with transaction(self._engine, impatient=True) as connection:
            insist_on_our_table(connection)
            wait_for_others(connection, user_lock(user_id))
            now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
            if count_lately(connection, table.c.user_id == user_id, now) >= self._most:
                raise TooManyWarnings(f"{self._most} warnings in 24 hours")
            row = fit(table, row).row | {"warning_shown_at": now}
            insert = table.insert().values(row).returning(table.c.id)
            return int(connection.execute(insert).scalar_one())

    def answer(self, user_id: int, warning_id: int, action: str) -> Answered | None:
        """Record what a user did after a warning; return None if the user has no such warning.

        Only the first answer counts. A warning that was marked as abandoned can still be answered.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        is_this = sa.and_(table.c.id == warning_id, table.c.user_id == user_id)
        open_ones = sa.or_(table.c.user_action.is_(None), table.c.user_action == ABANDONED)
        with transaction(self._engine, impatient=True) as connection:
            insist_on_our_table(connection)
            news = sa.and_(is_this, open_ones, table.c.user_action.is_distinct_from(action))
            changed = connection.execute(table.update().where(news).values(user_action=action)).rowcount
            kind = connection.execute(sa.select(table.c.warning_type).where(is_this)).scalar()
            return None if kind is None else Answered(kind, changed > 0)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
