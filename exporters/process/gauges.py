"""The gauges of one process that one of all processes exports: which there are, and when they start."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from opentelemetry.metrics import MeterProvider
from sqlalchemy.engine import Engine

from exporters.gauges.figures import DAYS, TODAY
from exporters.gauges.host_gauge import HostGauge, age, number
from exporters.gauges.leased import LeasedGauges, Observations
from exporters.gauges.query import Query, found
from exporters.integrity.watch import IntegrityWatch
from exporters.metrics.instruments import Metrics
from telemetry import conventions as c
from telemetry.conventions import gauges
from telemetry.settings import Settings

LEASE: Final = "gauges"
"""Name of the lease of the gauges from SQL."""


class Gauges:
    """The gauges from SQL, and those of the host's callables."""

    def __init__(self, settings: Settings, metrics: Metrics, holder: Callable[[], str]) -> None:
        """Prepare; nothing runs before :meth:`start`.

        Args:
            settings: of the process.
            metrics: reports the values.
            holder: returns the id of this process.
        """
        self._settings = settings
        self._metrics = metrics
        self._holder = holder
        self._held_back_in: int | None = None
        self.integrity = IntegrityWatch(settings)
        self._of_sql: LeasedGauges | None = None
        self._of_host: dict[str, LeasedGauges] = {}
        if settings.database_url and settings.gauges_seconds:
            self._of_sql = LeasedGauges(settings, LEASE, holder, self._queries, self.integrity.look)

    def watch(
        self,
        jobs_waiting: Callable[[], int | None] | None = None,
        worker_heartbeat: Callable[[], datetime | None] | None = None,
    ) -> None:
        """Report what callables of the host return; the first one that is given for a gauge stays."""
        if self._settings.gauges_seconds:
            self._add("jobs_waiting", gauges.JOBS_WAITING, jobs_waiting, number)
            self._add("worker_heartbeat", gauges.WORKER_HEARTBEAT, worker_heartbeat, age)

    def register(self) -> None:
        """Let the metrics report the values."""
        if self._of_sql is None:
            return
        for metric in gauges.GAUGES:
            if metric.source in (gauges.TODAY, gauges.DAYS):
                self._metrics.labelled_gauge(metric, partial(self._of_sql.values, metric.name))
        self._metrics.labelled_gauge(gauges.GAUGES_AGE, self._of_sql.ages)
        self._metrics.labelled_gauge(gauges.GAUGES_EXPORTER, self._exporter)
        self._metrics.labelled_gauge(c.INTEGRITY_VIOLATIONS, self._violations)

    def begin(self, provider: MeterProvider | None, *, is_master: bool) -> None:
        """Start if anything reads the metrics of ``provider``; in the master of a server, its children do."""
        if is_master:
            self._held_back_in = os.getpid()
        consumer = getattr(provider, "_measurement_consumer", None)
        if provider is not None and getattr(consumer, "_reader_storages", True):
            self.start()

    def start(self) -> None:
        """Start the threads, unless they run."""
        if self._held_back_in != os.getpid():
            for leased in self._all():
                leased.start()

    def stop(self) -> None:
        """Have the threads give their leases back and end."""
        for leased in self._all():
            leased.stop()

    def join(self, deadline: float) -> None:
        """Wait for their end, until a monotonic time."""
        for leased in self._all():
            leased.join(deadline - time.monotonic())

    def after_fork(self) -> None:
        """Start anew in a forked child. That of a master starts at once, any other with its first work."""
        self.integrity.after_fork()
        for leased in self._all():
            leased.after_fork()
        if self._held_back_in == os.getppid():
            self.start()

    def _all(self) -> list[LeasedGauges]:
        return [*([self._of_sql] if self._of_sql is not None else []), *self._of_host.values()]

    def _queries(self, engine: Engine | None) -> Sequence[Query]:
        if engine is None:
            return ()
        seconds = self._settings.gauges_seconds
        return (
            Query(gauges.TODAY, seconds, partial(found, engine, self._settings, TODAY)),
            Query(gauges.DAYS, gauges.DAYS_PERIODS * seconds, partial(found, engine, self._settings, DAYS)),
        )

    def _add(
        self,
        option: str,
        metric: c.Metric,
        call: Callable[[], object] | None,
        convert: Callable[[object], float | None],
    ) -> None:
        if call is None or option in self._of_host:
            return
        ask = HostGauge(option, metric, call, convert).ask
        query = partial(Query, option, self._settings.gauges_seconds, ask)
        leased = LeasedGauges(self._settings, f"{LEASE} {option}", self._holder, lambda _: (query(),))
        self._of_host[option] = leased
        self._metrics.labelled_gauge(metric, partial(self._started, leased, metric.name))

    def _started(self, leased: LeasedGauges, name: str) -> Observations:
        self.start()
        yield from leased.values(name)

    def _exporter(self) -> Observations:
        """Yield whether this process exports the gauges from SQL. Somebody reads them: so they start."""
        self.start()
        yield {}, float(self._of_sql is not None and self._of_sql.is_exporter)

    def _violations(self) -> Iterator[tuple[dict[str, str], float]]:
        if self._of_sql is not None and self._of_sql.is_exporter:
            for labels, count in self.integrity.counts():
                yield dict(labels), count
