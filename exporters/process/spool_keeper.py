"""Operations on a spool for operators: list it, take over from dead processes, empty the quarantine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.rollup.snapshot import Snapshot
from exporters.spool.entry import Entry, ForeignEntry, Target
from exporters.spool.private import why_not_own
from exporters.spool.quarantine import Quarantined
from exporters.spool.takeover import is_foreign, locked_if_dead
from exporters.sql.database.engine import create_engine
from exporters.sql.database.fitting import UNFIT
from exporters.sql.projection.lagging import Lag, lagging
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage import warnings as warning_storage
from exporters.sql.storage.intake import claim_intake
from exporters.sql.writer.tenancy import have_different_tables
from telemetry.settings import Settings

from .pipeline import Pipeline

_ERRORS = (SQLAlchemyError, ForeignEntry, OSError, RecursionError, MemoryError, *UNFIT)
"""Errors of a file, its content, or the database."""


@dataclass(frozen=True, slots=True)
class ProcessDirectory:
    """The directory of one process in the spool."""

    process_id: str
    is_alive: bool
    snapshots: int
    bytes: int
    age: float | None
    """Seconds since its oldest file was written; None without any."""
    is_foreign: bool = False
    """Whether it belongs to another user. Then nothing else is known of it, and it counts as alive."""


@dataclass(frozen=True, slots=True)
class Retried:
    """The result of a retry to deliver an entry from the quarantine."""

    fragment_id: str
    error: str
    """Type of the error if it is still there; empty if the database has it now."""


class SpoolKeeper:
    """The spool of one database, whose processes may be running."""

    def __init__(self, settings: Settings, pipeline: Pipeline | None = None) -> None:
        """Open the spool that ``settings`` name.

        Args:
            settings: the settings of the application.
            pipeline: the running pipeline of this process, if there is one; its own directory is left out.

        Raises:
            ValueError: if TELEMETRY_DATABASE_URL cannot be used.
        """
        # A pipeline that is not started records nothing, but has all the parts.
        self._pipeline = pipeline or Pipeline(replace(settings, metrics_port=None))
        self._settings = settings
        self.root = self._pipeline.spool.root

    def processes(self) -> list[ProcessDirectory]:
        """Return the directories of other processes, the dead ones first.

        Raises:
            OSError: if the spool cannot be accessed.
        """
        if (foreign := self._pipeline.spool.foreign_directory()) is not None:
            raise PermissionError(
                f"{foreign}: {why_not_own(foreign)}: run this as its owner, chown it, or name another in"
                " TELEMETRY_SPOOL_DIR"
            )
        processes = [_inspect(path) for path in self._pipeline.spool.other_directories()]
        return sorted(processes, key=lambda process: (process.is_alive, process.process_id))

    def quarantined(self) -> list[Quarantined]:
        """Return the contents of the quarantine."""
        return list(self._pipeline.spool.quarantined())

    def unreadable(self) -> list[Path]:
        """Return the files that are set aside, because they are no valid entries."""
        return list(self._pipeline.spool.unreadable())

    def retry(self, fragment_ids: Iterable[str] = ()) -> Iterator[Retried]:
        """Deliver entries from the quarantine, by default all; yield the result for each.

        Raises:
            LookupError: if one of ``fragment_ids`` is not in quarantine.
        """
        engine = create_engine(self._settings.database_url)
        target = Target(self._settings.spool_key(), self._settings.spool_user())
        try:
            for file in self._named(fragment_ids):
                try:
                    entry = file.read(
                        target, lambda user: not have_different_tables(engine, target.user, user)
                    )
                    self._store(engine, entry)
                except _ERRORS as error:
                    yield Retried(file.fragment_id, type(error).__name__)
                else:
                    file.drop()
                    yield Retried(file.fragment_id, "")
        finally:
            engine.dispose()

    def drop(self, fragment_ids: Iterable[str]) -> int:
        """Remove these entries from the quarantine for good; return their number.

        Raises:
            LookupError: if one of ``fragment_ids`` is not in quarantine.
        """
        files = self._named(fragment_ids)
        for file in files:
            file.drop()
        return len(files)

    def lagging(self, *, also_waiting: bool = False) -> list[Lag]:
        """Return the rows of the host that the database refuses to update.

        Args:
            also_waiting: whether to include rows whose update is still to be tried.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database fails or is unavailable.
        """
        rows = lagging(self._settings.database_url, self._settings.hmac_key, grace=timedelta(0))
        return [lag for lag in rows if lag.is_wrong or also_waiting]

    def recover(self, seconds: float) -> bool:
        """Take over what dead processes left, and update the rows of the host.

        Returns:
            Whether all was done within ``seconds``; the rest stays in the spool.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database fails or is unavailable.
        """
        writer = self._pipeline.writer
        if writer is None:
            raise ValueError("no database: set TELEMETRY_DATABASE_URL")
        try:
            return writer.recover(seconds)
        finally:
            self._pipeline.spool.close()

    def _store(self, engine: Engine, entry: Entry) -> None:
        if isinstance(entry, Snapshot):
            run_storage.deliver(engine, entry)
            claim_intake(engine, entry.run_id)
        else:
            warning_storage.deliver(engine, entry, self._settings.warnings_per_day)

    def _named(self, fragment_ids: Iterable[str]) -> list[Quarantined]:
        files = {file.fragment_id: file for file in self.quarantined()}
        wanted = list(fragment_ids) or list(files)
        missing = [name for name in wanted if name not in files]
        if missing:
            raise LookupError(f"nothing is in quarantine under {', '.join(missing)}")
        return [files[name] for name in wanted]


def _inspect(path: Path) -> ProcessDirectory:
    if is_foreign(path):
        return ProcessDirectory(path.name, True, 0, 0, None, is_foreign=True)
    with locked_if_dead(path) as is_dead:
        stats = list(_stats(path))
    oldest = min((stat.st_mtime for stat in stats), default=None)
    return ProcessDirectory(
        path.name,
        not is_dead,
        len(stats),
        sum(stat.st_size for stat in stats),
        None if oldest is None else max(time.time() - oldest, 0.0),
    )


def _stats(path: Path) -> Iterator[os.stat_result]:
    try:
        for file in path.glob("*.json"):
            yield file.lstat()
    except FileNotFoundError:  # delivered meanwhile, or the process has ended
        return
