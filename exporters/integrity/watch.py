"""How many rows break each rule, for a gauge: looked at by one process now and then, and told by all.

Whoever finds that nobody has looked for TELEMETRY_INTEGRITY_SECONDS says so in the database, looks, and
leaves there what it found; if that goes wrong, the next one looks when the time is up. The writer asks for
it when it is awake anyway, and a thread of its own does it, so that neither the host nor the delivery of
rollups waits.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.statements import upsert
from exporters.sql.schema.tables import found as table
from exporters.sql.schema.tables import utc_now
from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded
from telemetry.settings import Settings

from .validation import counted

NAME: Final = "integrity"
PATIENCE_SECONDS: Final = 60.0
"""How long a process has been alive when it first looks, and how soon it tries again what went wrong."""
LONGEST_LOOK_SECONDS: Final = 120
"""Then PostgreSQL gives up."""


class IntegrityWatch:
    """What this process knows of the rules that are broken."""

    def __init__(self, settings: Settings) -> None:
        """Know nothing; no thread runs before :meth:`look`."""
        self._settings = settings
        self._patience = min(PATIENCE_SECONDS, settings.integrity_seconds)
        self.after_fork()

    def after_fork(self) -> None:
        """Know nothing in a forked child: what its parent reports need not be reported twice."""
        self._counts: Mapping[str, int] = {}
        self._thread: threading.Thread | None = None
        self._due = time.monotonic() + self._patience

    def counts(self) -> Iterator[tuple[Mapping[str, str], int]]:
        """Yield each check with how many rows break it; none before the first look."""
        for check, count in self._counts.items():
            yield {"check": check}, count

    def look(self) -> None:
        """Have a thread look, if it is time."""
        is_off = self._settings.integrity_seconds == 0
        if is_off or time.monotonic() < self._due or (self._thread and self._thread.is_alive()):
            return
        self._due = time.monotonic() + self._patience
        self._thread = threading.Thread(target=self._look, name="telemetry-integrity", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        with guarded("metrics"), suppressed():
            engine = create_engine(self._settings.database_url)
            try:
                counts = self._own(engine) if self._is_mine(engine) else _read(engine)
            except (SQLAlchemyError, OSError):
                return  # the writer says what is wrong with the database
            finally:
                engine.dispose()
            if counts is not None:
                self._counts = counts
                self._due = time.monotonic() + self._settings.integrity_seconds

    def _is_mine(self, engine: Engine) -> bool:
        """Say whether nobody has looked for long, and that we do now."""
        with transaction(engine) as connection:
            upsert(connection, table, [{"name": NAME}])
            now: datetime = connection.execute(sa.select(utc_now())).scalar_one()
            old = now - timedelta(seconds=self._settings.integrity_seconds)
            is_old = sa.or_(table.c.asked_at.is_(None), table.c.asked_at <= old)
            mine = table.update().where(table.c.name == NAME, is_old).values(asked_at=now)
            return connection.execute(mine).rowcount > 0

    def _own(self, engine: Engine) -> Mapping[str, int]:
        reading = create_engine(self._settings.database_url, for_reading=True)
        try:
            counts = {rule.name: count for rule, count in counted(reading, begin=_long).items()}
        finally:
            reading.dispose()
        with transaction(engine) as connection:
            change = table.update().where(table.c.name == NAME)
            connection.execute(change.values(figures=json.dumps(counts)))
        return counts


@contextmanager
def _long(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction no fork waits for, except where it has to: SQLite counts locks by process."""
    if engine.dialect.name == "sqlite":
        with transaction(engine) as connection:
            yield connection
        return
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{LONGEST_LOOK_SECONDS}s'")
        yield connection


def _read(engine: Engine) -> Mapping[str, int] | None:
    """Return what somebody else found; None while they have not."""
    with transaction(engine) as connection:
        figures = connection.execute(sa.select(table.c.figures).where(table.c.name == NAME)).scalar()
    return json.loads(figures) if figures else None
