"""Gauges that one of all processes exports, and the thread that renews their values."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database.engine import create_engine
from exporters.sql.database.limits import Limits
from telemetry._internal.context import suppressed
from telemetry._internal.guard import guarded
from telemetry._internal.urls.secrets import driver_error
from telemetry.settings import Settings

from .lease import Lease
from .query import Query

LIMITS: Final = Limits(lock=2, statement=10, idle=10)
"""Of a query on PostgreSQL. One that takes longer would not be done when the next one is due."""
LOGGED_FAILURES: Final = 3
"""Number of failures in a row that are logged: the database may be about to start."""

Observations = Iterator[tuple[Mapping[str, str], float]]

_log = logging.getLogger("telemetry")


class LeasedGauges:
    """Gauges that this process exports while it holds their lease.

    A thread renews the lease and the values every TELEMETRY_GAUGES_SECONDS; neither the host nor a reader of
    metrics waits for it.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        holder: Callable[[], str],
        new_queries: Callable[[Engine | None], Sequence[Query]],
        chore: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            settings: name the database; without one, every process exports these gauges.
            name: of the lease.
            holder: returns the id of this process.
            new_queries: returns the queries on an engine.
            chore: called with every look at the database while this process holds the lease.
        """
        self._settings = settings
        self._name = name
        self._holder = holder
        self._new_queries = new_queries
        self._chore = chore
        self.after_fork()

    def after_fork(self) -> None:
        """Start anew in a forked child: the lease and the connections are those of the parent."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lease: Lease | None = None
        self._queries: Sequence[Query] = ()
        self._failures = 0

    @property
    def is_exporter(self) -> bool:
        """Whether this process exports the gauges, and no other does."""
        lease = self._lease
        return lease.is_held if lease is not None else not self._settings.database_url

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._lock:
            if self._thread is None and not self._stopping.is_set():
                name = f"telemetry-{self._name}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                with suppressed():  # else the thread would inherit the run in which it is started
                    thread.start()
                self._thread = thread

    def stop(self) -> None:
        """Have the thread give the lease back and end."""
        with self._lock:
            self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, for at most ``seconds``."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(max(seconds, 0))

    def values(self, name: str) -> Observations:
        """Yield the value of a metric, if this process exports it and it is known."""
        if self.is_exporter:
            for query in self._queries:
                value = query.value(name)
                if value is not None:
                    yield {}, value

    def ages(self) -> Observations:
        """Yield the age of the values of each query, if this process exports them."""
        if self.is_exporter:
            for query in self._queries:
                yield {"query": query.name}, query.age

    def _run(self) -> None:
        with guarded("metrics"), suppressed():
            engine = _engine(self._settings)
            if engine is not None:
                self._lease = Lease(engine, self._name, self._holder(), self._settings.gauges_seconds)
            self._queries = self._new_queries(engine)
            pause = 0.0
            while not self._stopping.wait(pause):
                with guarded("metrics"):
                    self._look(engine)
                pause = self._pause()
            if engine is not None:
                self._release(engine)

    def _pause(self) -> float:
        """Return the seconds until the next look: the end of a day is not missed."""
        left = [query.seconds_of_day() for query in self._queries]
        return min([self._settings.gauges_seconds, *(seconds for seconds in left if seconds)])

    def _look(self, engine: Engine | None) -> None:
        """Renew the lease, and the values that are due."""
        try:
            if engine is not None:
                _check_file(engine)
            if self._renew():
                self._chore()
                self._ask()
            else:
                for query in self._queries:
                    query.forget()
            self._works_again()
        except (SQLAlchemyError, OSError) as error:
            self._failed(error)
        if engine is not None and not self.is_exporter:
            engine.dispose()  # until the next look nobody needs a connection

    def _ask(self) -> None:
        """Ask what is due; one query that fails does not keep the others from being asked."""
        failure: Exception | None = None
        for query in self._queries:
            if query.is_due and self.is_exporter:  # the query before it may have taken long
                try:
                    query.ask()
                except (SQLAlchemyError, OSError) as error:
                    failure = error
        if failure is not None:
            raise failure

    def _renew(self) -> bool:
        return self._lease is None or self._lease.renew()

    def _release(self, engine: Engine) -> None:
        try:
            if self._lease is not None:
                self._lease.release()
        except (SQLAlchemyError, OSError):
            pass  # it expires
        finally:
            engine.dispose()

    def _failed(self, error: Exception) -> None:
        """Log the third failure in a row: until then the database may just be starting."""
        self._failures += 1
        if self._failures == LOGGED_FAILURES:
            _log.warning(
                "telemetry cannot query its gauges (%s); they have no value until it can", driver_error(error)
            )

    def _works_again(self) -> None:
        if self._failures >= LOGGED_FAILURES:
            _log.info("telemetry can query its gauges again")
        self._failures = 0


def _engine(settings: Settings) -> Engine | None:
    if not settings.database_url:
        return None
    return create_engine(settings.database_url, for_reading=True, limits=lambda: LIMITS)


def _check_file(engine: Engine) -> None:
    """Check that the file of an SQLite database exists: connecting would create it.

    Raises:
        FileNotFoundError: if it does not.
    """
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    if path is not None and not path.startswith("file:") and not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}")
