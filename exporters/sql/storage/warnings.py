"""Stores warnings about documents, and what users did after them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.spool.warning_event import WarningEvent
from exporters.sql.database.engine import transaction
from exporters.sql.database.fitting import fit, to_datetime
from exporters.sql.database.statements import upsert
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import document_warnings as table
from exporters.sql.schema.tables import warning_events as events
from telemetry import conventions as c
from telemetry._internal.run import Warned
from telemetry.conventions import ABANDONED

from .attachment import analysis_of, attach_late, exists

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
EVENT_CLOCK_SKEW: Final = timedelta(seconds=5)
"""The maximum difference of the clocks by which a warning and its answer are dated."""
REMEMBERED: Final = timedelta(days=365)
"""How long an event that arrives again is recognised."""

Done: TypeAlias = tuple[str, str]
"""The type of a warning, and the action that is counted."""


class Delivered(NamedTuple):
    """The result of a delivery."""

    done: tuple[Done, ...] = ()
    """What is to be counted; empty for an event that was stored before."""
    coerced: tuple[str, ...] = ()
    """Columns whose values had to be changed to fit, as ``table.column``."""


def deliver(engine: Engine, event: WarningEvent, most_per_day: int) -> Delivered:
    """Store an event; safe to repeat, in any order.

    Args:
        engine: the engine of the writer.
        event: a warning that was shown, or an answer.
        most_per_day: the maximum number of warnings of one user in 24 hours.

    Raises:
        LookupError: if the table belongs to the host.
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    event, coerced = _fitted(event)
    with transaction(engine, impatient=True) as connection:
        if not event.warned.is_automatic:
            insist_on_our_table(connection)
        elif not is_ours(connection, table):
            return Delivered()
        wait_for_others(connection, f"telemetry-warnings {event.warned.subject}")
        if not _is_news(connection, event):
            return Delivered()
        if event.warned.is_answer:
            done = _answer(connection, event)
        else:
            done = _show(connection, event, str(event.warned.type), most_per_day)
    return Delivered(tuple(done), coerced)


_SAME_NAMES: Final = ("user_id", "analysis_id", "subject", "document_count", "document_size")
"""Fields of a warning that have the names of their columns."""


def _fitted(event: WarningEvent) -> tuple[WarningEvent, tuple[str, ...]]:
    """Return the event with values that fit their columns, as lookups need them, and the changed columns."""
    warned = event.warned
    values = {name: getattr(warned, name) for name in _SAME_NAMES}
    row, coerced = fit(table, values | {"warning_type": warned.type, "user_action": warned.action})
    identity = fit(events, {"event_id": event.event_id})
    warned = replace(warned, type=row.pop("warning_type"), action=row.pop("user_action"), **row)
    return replace(event, warned=warned, **identity.row), (*coerced, *identity.coerced)


def insist_on_our_table(connection: Connection) -> None:
    """Check that the table of warnings is ours.

    Raises:
        LookupError: if it belongs to the application.
    """
    if not is_ours(connection, table):
        raise LookupError(f"{table.name} is the application's own: it records its warnings itself")


def wait_for_others(connection: Connection, name: str) -> None:
    """Take the lock with a name for the rest of the transaction. SQLite has only one writer anyway.

    Each subject has a lock, so that a warning and its answer cannot miss each other. Each user has one, so
    that the number of warnings does not change before the new one is stored.
    """
    if connection.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))
        connection.execute(sa.select(lock))


def user_lock(user_id: int | None) -> str:
    """Return the name of the lock on the warnings of a user."""
    return f"telemetry-warnings-of {user_id}"


def _is_news(connection: Connection, event: WarningEvent) -> bool:
    warned = event.warned
    row = {
        "event_id": event.event_id,
        "user_ref": warned.user_id,
        "subject": warned.subject,
        "warning_type": warned.type,
        "user_action": warned.action if warned.is_answer else None,
        "happened_at": to_datetime(event.happened_at),
    }
    return bool(upsert(connection, events, [row], keep=tuple(row)))


def _answer(connection: Connection, event: WarningEvent) -> list[Done]:
    """Answer the warnings that were shown before; the earliest answer counts, even if it arrives late."""
    warned, done = event.warned, list[Done]()
    shown = sa.and_(
        table.c.subject == warned.subject,
        table.c.warning_shown_at <= _moment(event) + EVENT_CLOCK_SKEW,
        sa.true() if warned.user_id is None else table.c.user_id == warned.user_id,
        sa.true() if warned.type is None else table.c.warning_type == warned.type,
    )
    columns = (table.c.id, table.c.user_id, table.c.warning_type, table.c.warning_shown_at)
    for row in connection.execute(sa.select(*columns, table.c.user_action).where(shown)).all():
        answers = _answers_to(
            connection, str(warned.subject), row.warning_type, row.user_id, row.warning_shown_at
        )
        if row.user_action in (None, ABANDONED, *answers[1:]) and row.user_action != answers[0]:
            change = table.update().where(table.c.id == row.id)
            connection.execute(change.values(user_action=answers[0]))
            done.append((row.warning_type, answers[0]))
    return done


def _show(connection: Connection, event: WarningEvent, kind: str, most: int) -> list[Done]:
    warned, moment = event.warned, _moment(event)
    if warned.is_automatic and kind == c.BATCH_TOO_LARGE and _is_known(connection, warned):
        return []
    of_user = table.c.user_id.is_not_distinct_from(warned.user_id)
    wait_for_others(connection, user_lock(warned.user_id))
    is_gone = warned.user_id is not None and not exists(connection, HOST.users.c.id == warned.user_id)
    if is_gone or count_lately(connection, of_user, moment) >= most:
        return [(kind, c.REFUSED)]
    more = {name: value for name in ("limit", "characters") if (value := getattr(warned, name)) is not None}
    action = warned.action
    if warned.subject and warned.is_automatic and action is not None:
        action = _overriding(connection, warned.subject, kind, moment) or action
    elif warned.subject and action is None:
        action = next(iter(_answers_to(connection, warned.subject, kind, warned.user_id, moment)), None)
    row = {
        "user_id": warned.user_id,
        "subject": warned.subject,
        "analysis_id": analysis_of(connection, warned, moment),
        "warning_type": kind,
        "warning_shown_at": moment,
        "user_action": action,
        "document_count": warned.document_count,
        "document_size": warned.document_size,
        "additional_data": json.dumps(more) if more else None,
    }
    connection.execute(table.insert().values(row))
    return [(kind, c.SHOWN)] if action is None else [(kind, c.SHOWN), (kind, action)]


def _is_known(connection: Connection, warned: Warned) -> bool:
    """Return whether the page, or an intake, has reported the same batch already."""
    same = sa.and_(
        table.c.warning_type == warned.type,
        table.c.user_id.is_not_distinct_from(warned.user_id),
        table.c.subject == warned.subject,
    )
    return exists(connection, same)


def _answers_to(
    connection: Connection, subject: str, kind: str, user_id: int | None, shown_at: datetime
) -> list[str]:
    """Return the answers to a warning, in the order in which they were given."""
    query = (
        sa.select(events.c.user_action)
        .where(events.c.subject == subject, events.c.user_action.is_not(None))
        .where(events.c.happened_at >= shown_at - EVENT_CLOCK_SKEW)
        .where(sa.or_(events.c.user_ref.is_(None), events.c.user_ref == user_id))
        .where(sa.or_(events.c.warning_type.is_(None), events.c.warning_type == kind))
        .order_by(events.c.happened_at, events.c.event_id)
    )
    return list(connection.execute(query).scalars())


def _overriding(connection: Connection, subject: str, kind: str, moment: datetime) -> str | None:
    """Return the answer that a user gave before an analysis whose warning no page showed."""
    query = (
        sa.select(events.c.user_action)
        .where(events.c.subject == subject, events.c.warning_type == kind, events.c.user_action.is_not(None))
        .where(events.c.happened_at.between(moment - DAY, moment))
        .order_by(events.c.happened_at.desc())
    )
    return connection.execute(query.limit(1)).scalar()


def _moment(event: WarningEvent) -> datetime:
    moment = to_datetime(event.happened_at)
    assert moment is not None
    return moment


def count_lately(connection: Connection, of_user: sa.ColumnElement[bool], moment: datetime) -> int:
    """Return the number of warnings in the 24 hours before ``moment``."""
    lately = table.c.warning_shown_at > moment - DAY
    return int(connection.execute(sa.select(sa.func.count()).where(of_user, lately)).scalar_one())


def settle(engine: Engine, age: timedelta) -> int:
    """Decide about warnings without an answer for ``age``; return the number of abandoned ones.

    A user who has started an analysis has continued, even if no page reported that.
    """
    with transaction(engine) as connection:
        now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
        connection.execute(events.delete().where(events.c.arrived_at < now - REMEMBERED))
        if not is_ours(connection, table):
            return 0
        attach_late(connection, now - WEEK)
        unanswered = sa.and_(table.c.user_action.is_(None), table.c.warning_shown_at < now - age)
        went_on = table.update().where(unanswered, table.c.analysis_id.is_not(None))
        connection.execute(went_on.values(user_action=c.CONTINUED))
        return connection.execute(table.update().where(unanswered).values(user_action=ABANDONED)).rowcount
