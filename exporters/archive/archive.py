"""Move old runs and days from the tables to files, for `flask telemetry archive`.

A part with a limited number of runs is written, read back, and compared with the tables while its rows are
deleted. The process may be killed at any moment: the next one continues, and no row is lost or duplicated.
Totals of users and rows of the host stay as they are. :mod:`exporters.sql.storage.archived` records what was
archived.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.export import parquet
from exporters.sql.database.days import Day
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.schema.ownership import is_ours
from exporters.sql.schema.tables import archived_days, archived_runs, runs, system_health_log
from telemetry.settings import Settings

from . import due, removal
from .contents import LOG, RUNS, Contents, Digests, Key
from .due import Group
from .part import ArchiveError, Part, Pieces, complete, new_name, rename, unfinished

PART: Final = 5000
"""Maximum number of runs in one part."""
BATCH: Final = 100
"""Runs deleted in one transaction, unless one analysis has more."""
CHUNK: Final = 500
"""Keys in one query."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be archived, and which older runs stay."""

    runs: int
    days: int
    """Rows of the log."""
    stay: dict[str, int] = field(default_factory=dict)
    """Number of older runs that stay, by reason."""
    unfinished: int = 0
    """Parts that an earlier process left unfinished."""

    def to_json(self) -> str:
        """Return it as a JSON object."""
        return json.dumps(asdict(self))


class Archive:
    """Moves old rows of one database to a directory."""

    def __init__(self, settings: Settings, directory: Path, *, before: date, form: str = "csv") -> None:
        """Prepare the archive; nothing is queried or written yet.

        Args:
            settings: the database, and the time zone of days.
            directory: of the archive; it is created if it is missing.
            before: the first day that stays.
            form: ``csv`` or ``parquet``.

        Raises:
            ValueError: if the URL cannot be used, or the extra for Parquet is not installed.
        """
        if form == "parquet":
            parquet.libraries()
        self._reading = create_engine(settings.database_url, for_reading=True)
        self._writing = create_engine(settings.database_url)
        self._database = settings.spool_key()
        self._directory, self._form = directory, form
        self._before = before
        self._cutoff = Day.of(before, ZoneInfo(settings.timezone)).start
        self.parts: list[str] = []
        """Names of the parts finished so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reading.dispose()
        self._writing.dispose()

    def plan(self) -> Plan:
        """Return what :meth:`work` would do; nothing is changed.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        with transaction(self._reading) as connection:
            count = sa.select(sa.func.count()).select_from(runs).where(due.may_go(self._cutoff))
            return Plan(
                connection.execute(count).scalar_one(),
                len(self._old_days(connection)),
                due.staying(connection, self._cutoff),
                len(complete(self._directory)),
            )

    def work(self) -> Iterator[int]:
        """Archive, and yield the number of runs and days that each transaction moved.

        Raises:
            ArchiveError: if another process archives to the directory, or a file is damaged.
            OSError: if the directory cannot be written.
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with _alone_in(self._directory):
            for part in unfinished(self._directory, self._database):
                yield from self._move(part, part.read_back(part.complete))
            yield from self._log()
            yield from self._runs()

    def _log(self) -> Iterator[int]:
        with transaction(self._reading) as connection:
            days = self._old_days(connection)
        if days:
            yield from self._archive(LOG, days, days[0])

    def _runs(self) -> Iterator[int]:
        after, more = None, True
        while more:
            ids: list[Key] = []
            while more and len(ids) < PART:
                with transaction(self._reading) as connection:
                    groups, last = due.next_groups(connection, self._cutoff, after, CHUNK)
                ids += [run_id for group in groups for run_id in group]
                after, more = last or after, last is not None
            if ids:
                yield from self._archive(RUNS, ids, self._first_day(ids))

    def _archive(self, contents: Contents, keys: Sequence[Any], first: date) -> Iterator[int]:
        """Write one part, and delete its rows from the tables."""
        part = Part(self._directory, new_name(contents, first), contents, self._form, self._database)
        part.write(self._pieces(contents, keys))
        digests = part.read_back(part.begun)
        rename(part.begun, part.complete)
        yield from self._move(part, digests)

    def _pieces(self, contents: Contents, keys: Sequence[Any]) -> Pieces:
        for chunk in _batches([[key] for key in keys], BATCH):
            wanted = [key for (key,) in chunk]
            for table in contents.tables:
                with transaction(self._reading) as connection:
                    rows = removal.rows_of(connection, contents, table, wanted)
                yield table, rows

    def _move(self, part: Part, digests: Digests) -> Iterator[int]:
        """Delete the rows of a part from the tables, and reduce the part to the rows that were deleted."""
        move = self._move_runs if part.contents is RUNS else self._move_days
        yield from move(part, digests)
        marks = archived_runs if part.contents is RUNS else archived_days
        query = sa.select(marks.c[part.contents.key]).where(marks.c.archive == part.name)
        with transaction(self._reading) as connection:
            kept = {str(key) for key in connection.execute(query).scalars()}
        part.finish(digests, kept)
        if kept:
            self.parts.append(part.name)

    def _move_runs(self, part: Part, digests: Digests) -> Iterator[int]:
        groups: dict[object, Group] = {}
        for chunk in _batches([[key] for key in digests], CHUNK):
            with transaction(self._reading) as connection:
                loaded = due.groups_of(connection, [key for (key,) in chunk])
            for key, group in loaded.items():
                groups.setdefault(key, []).extend(group)
        for batch in _batches(list(groups.values()), BATCH):
            with transaction(self._writing) as connection:
                moved = removal.move_runs(connection, batch, digests, part.name, self._cutoff)
            yield moved

    def _move_days(self, part: Part, digests: Digests) -> Iterator[int]:
        days = [date.fromisoformat(key) for key in digests]
        with transaction(self._writing) as connection:
            moved = removal.move_days(connection, days, digests, part.name)
        yield moved

    def _old_days(self, connection: Connection) -> list[date]:
        if not is_ours(connection, system_health_log):
            return []
        return list(connection.execute(due.old_days(self._before)).scalars())

    def _first_day(self, ids: Sequence[Key]) -> date:
        query = sa.select(runs.c.started_at).where(runs.c.run_id == ids[0])
        with transaction(self._reading) as connection:
            first: datetime | None = connection.execute(query).scalar()
        return (first or self._cutoff).date()


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(f"another process archives to {directory}: wait until it is done") from None
        yield


def _batches(groups: Iterable[Sequence[Any]], size: int) -> Iterator[list[Any]]:
    """Yield lists of whole groups, of ``size`` members each or just more."""
    batch: list[Any] = []
    members = 0
    for group in groups:
        batch.append(group)
        members += len(group)
        if members >= size:
            yield batch
            batch, members = [], 0
    if batch:
        yield batch
