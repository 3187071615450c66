"""All that leads from an ended span to a row: recorder, processor, metrics, spool and writer.

``telemetry.setup`` imports this module only when it makes a :class:`Pipeline`, because it needs the SDK.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider

from exporters.metrics.instruments import Metrics
from exporters.recording.processor import RollupProcessor
from exporters.recording.recorder import RunRecorder
from exporters.rollup.merge import Rollup, merge
from exporters.rollup.snapshot import Snapshot
from exporters.spool.directory import Spool
from exporters.spool.entry import Entry
from exporters.spool.warning_event import WarningEvent
from telemetry import conventions as c
from telemetry._internal.context import install, recorder, suppressed
from telemetry._internal.guard import guarded, reset_internal_errors
from telemetry.pricing.prices import Pricer, default_pricer
from telemetry.settings import Settings

from . import children, parts, sigterm
from .providers import Providers

if TYPE_CHECKING:
    from exporters.sql.writer.thread import Writer

    from .gauges import Gauges

_log = logging.getLogger("telemetry")


class Pipeline:
    """The parts of one process, which turn spans into rows and metrics."""

    def __init__(self, settings: Settings, price: Pricer | None = None) -> None:
        """Create the parts; nothing runs before :meth:`start`.

        Args:
            settings: the settings of the process.
            price: returns the price of a call; default: as set in the settings.

        Raises:
            ValueError: if TELEMETRY_DATABASE_URL cannot be used.
            ImportError: if a setting needs the extra ``sql`` or ``prometheus``, which is not installed.
        """
        is_key_shared = bool(settings.hmac_key)
        self.settings = settings = parts.with_key(settings)
        self.writer: Writer | None = None
        self.gauges: Gauges | None = None
        self.metrics = Metrics(settings)
        self.spool = Spool(settings, self.metrics.totals)
        self.recorder = RunRecorder(
            settings,
            self.metrics,
            self.spool.process_id,
            self._save,
            self._wake,
            self._nudge,
            is_key_shared=is_key_shared,
        )
        self.processor = RollupProcessor(self.recorder, self.metrics, price or default_pricer(settings))
        if settings.database_url:
            self.writer = parts.writer(self)
            self.gauges = parts.gauges(self)
        self.listener = parts.listener(self) if settings.metrics_port is not None else None
        self._is_open = False
        self._providers = Providers()
        self._listeners: list[Callable[[Snapshot], None]] = []

    def on_end(self, listener: Callable[[Snapshot], None]) -> None:
        """Call ``listener`` with the final snapshot of every fragment of this process (for tests)."""
        self._listeners.append(listener)

    def rollup(self, snapshot: Snapshot) -> Rollup:
        """Return the rollup of a run with this one fragment (for tests)."""
        return merge([snapshot])

    def start(
        self, tracer_provider: TracerProvider, meter_provider: object = None, *, takes_all: bool = False
    ) -> None:
        """Process the spans of ``tracer_provider``, register the metrics, and record runs.

        Args:
            tracer_provider: the provider whose spans are processed.
            meter_provider: where to register the metrics; ignored if it is not of the SDK.
            takes_all: whether to record runs that belong to applications of other pipelines too (in tests).
        """
        self._providers.attach(tracer_provider, meter_provider, self.processor)
        self._register_metrics()
        install(self.recorder, takes_all=takes_all)
        self._is_open = True
        children.follow(self)
        atexit.register(self.shutdown)
        if self.writer is not None and self.settings.save_on_sigterm:
            sigterm.follow(self)
        is_master = children.is_master()
        if not is_master:
            self.serve()
        if self.gauges is not None:
            self.gauges.begin(self._providers.meter, is_master=is_master)
        if self.writer is not None and (self.spool.has_other_directories() or self.settings.daily_check):
            self.writer.wake()

    def shutdown(self, seconds: float | None = None) -> bool:
        """Close open runs, deliver what waits, for at most ``seconds`` (default: the setting), and stop.

        Returns:
            Whether everything reached the database. The rest stays in the spool for a takeover.
        """
        if not self._is_open:
            return True
        self._is_open = False
        children.unfollow(self)
        atexit.unregister(self.shutdown)
        sigterm.unfollow(self)
        self.processor.stop()
        self.recorder.interrupt()
        self._providers.detach()
        if recorder() is self.recorder:
            install(None)
        seconds = self.settings.shutdown_seconds if seconds is None else seconds
        deadline, delivered = time.monotonic() + seconds, True
        if self.gauges is not None:
            self.gauges.stop()
        if self.writer is not None:
            delivered = self.writer.drain(seconds)
        if self.gauges is not None:
            self.gauges.join(deadline)
        with guarded("spool"):
            self.spool.close()
        if self.listener is not None:
            self.listener.stop()
        return delivered

    def save(self) -> None:
        """Close open runs as interrupted, with what they have spent, and save them to the spool."""
        self.recorder.interrupt()

    def deliver(self, seconds: float) -> None:
        """Deliver what is in the spool for at most ``seconds``, then save what began meanwhile.

        In what is left of the time, metrics and spans are exported: the process dies without its handlers at
        exit, by which the SDK would do so.
        """
        deadline = time.monotonic() + seconds
        if self.gauges is not None:
            self.gauges.stop()
        if self.writer is not None:
            self.writer.drain(min(seconds, self.settings.shutdown_seconds))
            self.writer.save()
        if self.gauges is not None:
            self.gauges.join(deadline)
        with guarded("spool"):
            self.spool.close()
        self._providers.flush(deadline)

    def warned(self, warning_type: str, action: str) -> None:
        """Count a warning that was shown, or the answer of a user."""
        self.metrics.totals.add(c.WARNINGS, 1, type=warning_type, action=action)

    def watch_host(
        self,
        jobs_waiting: Callable[[], int | None] | None = None,
        worker_heartbeat: Callable[[], datetime | None] | None = None,
    ) -> None:
        """Report what callables of the host return, as gauges."""
        if jobs_waiting is None and worker_heartbeat is None:
            return
        if self.gauges is None:
            try:
                self.gauges = parts.gauges(self)
            except ImportError as error:
                _log.warning("telemetry has no gauges for values of the application: %s", error)
                return
        self.gauges.watch(jobs_waiting, worker_heartbeat)
        if self._is_open:
            self.gauges.begin(self._providers.meter, is_master=children.is_master())

    @guarded("metrics")
    def serve(self) -> None:
        """Start the metrics listener, if it is configured and not running."""
        if self.listener is not None and self.listener.port is None:
            with suppressed():
                self.listener.start()

    def host_committed(self) -> None:
        """Tell the writer that the host has committed a transaction."""
        if self.writer is not None:
            self.writer.host_committed()

    def has_forked(self) -> None:
        """Tell the writer that a child was forked in which open runs may go on."""
        if self.writer is not None and self.recorder.fragments.has_open_runs:
            self.writer.has_forked()

    def after_fork(self) -> None:
        """Start empty in a forked child, with a directory, threads and connections of its own."""
        reset_internal_errors()
        self.metrics.after_fork(self._providers.meter)
        self.spool.after_fork()
        self.recorder.fragments.after_fork(self.spool.process_id)
        if self.writer is not None:
            self.writer.after_fork()
        if self.listener is not None:
            self.listener.after_fork()
        if self.gauges is not None:
            self.gauges.after_fork()

    def _register_metrics(self) -> None:
        provider = self._providers.meter
        if provider is None:
            return
        parts.watch_spool(self.spool, self.metrics)
        if self.gauges is not None:
            self.gauges.register()
        if self.listener is not None:
            self.listener.register(provider)
        self.metrics.register(provider)

    def _save(self, entry: Entry) -> None:
        if isinstance(entry, Snapshot) and entry.is_closed and not entry.is_loose:
            for listener in self._listeners:
                listener(entry)
        if self.writer is not None:
            with guarded("spool"):  # if the disk fails, the entry waits in memory
                self.spool.put(entry)
        elif isinstance(entry, WarningEvent) and not entry.warned.is_answer:
            self.warned(str(entry.warned.type), c.SHOWN)

    def _wake(self) -> None:
        if self.writer is not None:
            self.writer.wake()
        else:
            self.recorder.fragments.changed()
        self.serve()

    def _nudge(self) -> None:
        if self.writer is not None:
            self.writer.nudge()
