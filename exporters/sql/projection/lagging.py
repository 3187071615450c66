"""Rows of the application that do not show what telemetry knows: how many, since when, and why.

Everything is read from the database, so no process of the application has to run. The reason is found by
updating the oldest rows in transactions that are rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import UNFIT
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.tables import runs
from telemetry._internal.urls.secrets import driver_error
from telemetry.conventions import RUNNING

from .behind import has_one
from .host_rows import HostRows
from .plan import Projection

GRACE: Final = timedelta(seconds=60)
"""Time within which a row may still be updated."""
RECENT: Final = timedelta(days=7)
"""How long missing files are reported, and runs that named a row of another."""
TRIED: Final = 20
"""Maximum number of rows that are tried, the oldest first."""
SHOWN: Final = 5
"""Maximum number of ids that are listed."""

Lagging: TypeAlias = tuple[int, datetime]
"""The id of a row of the application, and the time since which it lags."""


@dataclass(frozen=True, slots=True)
class Lag:
    """Rows of one table that lag for one reason."""

    table: str
    count: int
    since: datetime
    """Naive UTC, by the database's clock."""
    reason: str
    remedy: str
    is_wrong: bool
    """Whether somebody must do something about it."""
    ids: tuple[int, ...]
    """The ids of the first of them."""

    def __str__(self) -> str:
        names = ", ".join(map(str, self.ids)) + (", …" if self.count > len(self.ids) else "")
        rows = "row" if self.count == 1 else "rows"
        since = f"{self.since:%Y-%m-%d %H:%M} UTC"
        return f"{self.count} {rows} of {self.table} since {since} ({names}): {self.reason}"


def lagging(database_url: str, key: str, grace: timedelta = GRACE) -> list[Lag]:
    """Return the lagging rows of a database at the newest revision.

    Args:
        database_url: URL of the database.
        key: secret of the documents' hashes.
        grace: the time within which a row may still be updated.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
    """
    engine = create_engine(database_url)
    try:
        return list(_Lagging(engine, key.encode(), grace).all())
    finally:
        engine.dispose()


class _Lagging:
    def __init__(self, engine: Engine, key: bytes, grace: timedelta) -> None:
        self._engine = engine
        self._trial = HostRows(engine, key, is_trial=True)
        self._has_files = self._trial.columns.has_files
        with transaction(engine) as connection:
            now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
        self._old, self._recent = now - grace, now - RECENT

    def all(self) -> Iterator[Lag]:
        missing, existing = self._analyses()
        yield from self._tried("analyses", existing, self._trial.project_analysis)
        yield from _lag(
            "analyses",
            missing,
            "no such row is there (yet)",
            "give link() the id of a row that is committed, or is about to be",
        )
        yield from self._tried("users", self._users(), self._trial.project_user)
        yield from self._files()
        yield from self._of_others()

    def _analyses(self) -> tuple[list[Lagging], list[Lagging]]:
        """Return the lagging analyses: those without a row, and those with one."""
        table, ref = HOST.analyses, runs.c.analysis_ref
        is_there = has_one(table.c.id == ref)
        query = (
            sa.select(ref, sa.func.min(runs.c.seen_at), is_there.label("is_there"))
            .where(runs.c.projected_version < runs.c.version, ref.is_not(None), runs.c.synthetic.is_(False))
            .where(runs.c.analysis_gone.is_(False), runs.c.seen_at <= self._old)
            .where(sa.or_(runs.c.status != RUNNING, runs.c.projected_version > 0))
            .group_by(ref)
            .order_by(sa.func.min(runs.c.seen_at), ref)
        )
        rows = self._rows(query)
        return [row[:2] for row in rows if not row[2]], [row[:2] for row in rows if row[2]]

    def _users(self) -> list[Lagging]:
        ref = runs.c.user_ref
        query = (
            sa.select(ref, sa.func.min(runs.c.seen_at))
            .where(runs.c.user_version < runs.c.version, ref.is_not(None), runs.c.synthetic.is_(False))
            .where(runs.c.status != RUNNING, runs.c.seen_at <= self._old)
            .group_by(ref)
            .order_by(sa.func.min(runs.c.seen_at), ref)
        )
        return self._rows(query)

    def _files(self) -> Iterator[Lag]:
        """Find analyses without files; an application may store them late, or never."""
        if not self._has_files:
            return
        ref = runs.c.analysis_ref
        are_stored = has_one(HOST.candidate_files.c.analysis_id == ref)
        query = (
            sa.select(ref, sa.func.min(runs.c.ended_at), are_stored.label("are_stored"))
            .where(runs.c.files_pending > 0, runs.c.analysis_gone.is_(False), ref.is_not(None))
            .where(runs.c.ended_at <= self._old, runs.c.ended_at > self._recent)
            .group_by(ref)
            .order_by(sa.func.min(runs.c.ended_at), ref)
        )
        rows = self._rows(query)
        for is_stored, reason, remedy in (
            (False, "no file of these analyses is stored", "nothing, if the application stores none"),
            (True, "some files are locked, or came late", "flask telemetry health-check, within a day"),
        ):
            lags = [row[:2] for row in rows if bool(row[2]) is is_stored]
            yield from _lag("analyses without their candidate_files", lags, reason, remedy)

    def _of_others(self) -> Iterator[Lag]:
        """Find runs that named a row of another run or user."""
        table, ref = HOST.analyses, runs.c.analysis_ref
        differs = sa.and_(table.c.user_id.is_not(None), table.c.user_id != runs.c.user_ref)
        query = (
            sa.select(ref, sa.func.min(runs.c.seen_at), sa.func.max(sa.case((differs, 1), else_=0)))
            .join(table, table.c.id == ref)
            .where(runs.c.analysis_gone, runs.c.analysis_seen_at.is_(None), runs.c.synthetic.is_(False))
            .where(runs.c.seen_at > self._recent, runs.c.seen_at <= self._old)
            .group_by(ref)
            .order_by(sa.func.min(runs.c.seen_at), ref)
        )
        rows = self._rows(query)
        for is_other, reason, remedy in (
            (1, "their user is another than that of the run", "give start_run the user of the row"),
            (0, "they were created after the run had ended", "give link() the id of the run's own row"),
        ):
            yield from _lag("analyses", [row[:2] for row in rows if row[2] == is_other], reason, remedy)

    def _rows(self, query: Any) -> list[Any]:
        with transaction(self._engine) as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _tried(
        self, table: str, rows: Sequence[Lagging], project: Callable[[int], Projection]
    ) -> Iterator[Lag]:
        """Try to update the oldest rows, and group them by the reason why that fails."""
        by_reason: dict[tuple[str, str, bool], list[Lagging]] = {}
        for row in rows[:TRIED]:
            by_reason.setdefault(self._why(row[0], project), []).append(row)
        for (reason, remedy, is_wrong), alike in by_reason.items():
            yield from _lag(table, alike, reason, remedy, is_wrong)
        yield from _lag(table, rows[TRIED:], "later than those above, and not looked into", "the same")

    def _why(self, row_id: int, project: Callable[[int], Projection]) -> tuple[str, str, bool]:
        try:
            outcome = project(row_id)
        except (SQLAlchemyError, *UNFIT) as error:
            return (
                driver_error(error),
                "put that right; the application's processes try again by themselves",
                True,
            )
        if outcome is Projection.BUSY:
            remedy = "end that session: on PostgreSQL, pg_stat_activity shows it"
            return "another session holds them", remedy, False
        return "nothing stands in their way", "flask telemetry health-check, or start the application", False


def _lag(
    table: str, rows: Sequence[Lagging], reason: str, remedy: str, is_wrong: bool = False
) -> Iterator[Lag]:
    if rows:
        ids = tuple(row_id for row_id, _ in rows[:SHOWN])
        yield Lag(table, len(rows), min(since for _, since in rows), reason, remedy, is_wrong, ids)
