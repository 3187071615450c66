"""What an operator does with a spool: look at it, recover what the dead left, settle what is set aside."""

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
from exporters.sql.writer.tenancy import is_told_apart
from telemetry.settings import Settings

from .pipeline import Pipeline

_TROUBLE = (SQLAlchemyError, ForeignEntry, OSError, RecursionError, MemoryError, *UNFIT)
"""What may be wrong with a file, with what is in it, or with the database."""


@dataclass(frozen=True, slots=True)
class ProcessDirectory:
    """What one process keeps in the spool."""

    process_id: str
    is_alive: bool
    snapshots: int
    bytes: int
    age: float | None
    """Seconds since its oldest snapshot was written; None without any."""
    is_foreign: bool = False
    """Whether it is another user's: then nothing else is known of it, and it counts as alive."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a snapshot that was set aside."""

    fragment_id: str
    error: str
    """Why it is still there; empty when the database has it now."""


class SpoolKeeper:
    """The spool of one database; its processes may be at work meanwhile."""

    def __init__(self, settings: Settings, pipeline: Pipeline | None = None) -> None:
        """Keep the spool that ``settings`` name.

        Args:
            settings: of the application.
            pipeline: of this process, if it has one that is at work: what that keeps is left out.

        Raises:
            ValueError: when TELEMETRY_DATABASE_URL cannot be used.
        """
        # A pipeline that is not started: it takes part in nothing, and has all the parts.
        self._pipeline = pipeline or Pipeline(replace(settings, metrics_port=None))
        self._settings = settings
        self.root = self._pipeline.spool.root

    def processes(self) -> list[ProcessDirectory]:
        """Return the directories of all processes, the dead ones first.

        Raises:
            OSError: when the spool cannot be looked into.
        """
        if (foreign := self._pipeline.spool.foreign_directory()) is not None:
            raise PermissionError(
                f"{foreign}: {why_not_own(foreign)}: run this as its owner, chown it, or name another in"
                " TELEMETRY_SPOOL_DIR"
            )
        found = [_look_at(path) for path in self._pipeline.spool.other_directories()]
        return sorted(found, key=lambda each: (each.is_alive, each.process_id))

    def quarantined(self) -> list[Quarantined]:
        """Return what the database refused for good."""
        return list(self._pipeline.spool.quarantined())

    def unreadable(self) -> list[Path]:
        """Return the files that are no snapshots."""
        return list(self._pipeline.spool.unreadable())

    def retry(self, fragment_ids: Iterable[str] = ()) -> Iterator[Retried]:
        """Deliver what is set aside, all of it unless some is named; yield what became of each.

        Raises:
            LookupError: when one of ``fragment_ids`` is not there.
        """
        engine = create_engine(self._settings.database_url)
        target = Target(self._settings.spool_key(), self._settings.spool_user())
        try:
            for each in self._named(fragment_ids):
                try:
                    entry = each.read(target, lambda user: not is_told_apart(engine, target.user, user))
                    self._store(engine, entry)
                except _TROUBLE as error:
                    yield Retried(each.fragment_id, type(error).__name__)
                else:
                    each.drop()
                    yield Retried(each.fragment_id, "")
        finally:
            engine.dispose()

    def drop(self, fragment_ids: Iterable[str]) -> int:
        """Remove what is set aside under these names for good; return how many they were.

        Raises:
            LookupError: when one of ``fragment_ids`` is not there.
        """
        found = self._named(fragment_ids)
        for each in found:
            each.drop()
        return len(found)

    def lagging(self, *, also_waiting: bool = False) -> list[Lag]:
        """Return the rows of the application's that the database refuses to bring up to date.

        Args:
            also_waiting: those, too, that nobody has come to yet.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        found = lagging(self._settings.database_url, self._settings.hmac_key, grace=timedelta(0))
        return [lag for lag in found if lag.is_wrong or also_waiting]

    def recover(self, seconds: float) -> bool:
        """Deliver what dead processes left, and bring the host's rows up to date.

        Returns:
            Whether all was done within ``seconds``; what remains stays where it is.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
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
        there = {each.fragment_id: each for each in self.quarantined()}
        wanted = list(fragment_ids) or list(there)
        missing = [name for name in wanted if name not in there]
        if missing:
            raise LookupError(f"nothing is set aside under {', '.join(missing)}")
        return [there[name] for name in wanted]


def _look_at(path: Path) -> ProcessDirectory:
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
    except FileNotFoundError:  # it was delivered meanwhile, or its process has ended
        return
