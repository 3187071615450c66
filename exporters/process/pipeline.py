"""All that leads from an ended span to a row: recorder, processor, metrics, spool and writer.

``telemetry.setup`` imports this module only when it makes a :class:`Pipeline`, because it needs the SDK.
"""

from __future__ import annotations

import atexit
import logging
import secrets
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
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

from . import children, sigterm

if TYPE_CHECKING:
    from exporters.metrics.listener import Listener
    from exporters.sql.writer.thread import Writer
    from exporters.upkeep.daily_check import DailyCheck

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
        self.settings = settings = _with_key(settings)
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
            self.writer = _writer(self)
            self.gauges = _gauges(self)
        self.listener = _listener(self) if settings.metrics_port is not None else None
        self._is_open = False
        self._meter_provider: MeterProvider | None = None
        self._tracer_provider: weakref.ref[TracerProvider] | None = None
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
        tracer_provider.add_span_processor(self.processor)
        self._tracer_provider = weakref.ref(tracer_provider)
        self._register_metrics(meter_provider)
        install(self.recorder, takes_all=takes_all)
        self._is_open = True
        children.follow(self)
        atexit.register(self.shutdown)
        if self.writer is not None and self.settings.save_on_sigterm:
            sigterm.follow(self)
        is_master = children.is_master()
        if not is_master:
            self._start_listener()
        if self.gauges is not None:
            self.gauges.begin(self._meter_provider, is_master=is_master)
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
        self._detach()
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
        tracer_provider = self._tracer_provider() if self._tracer_provider is not None else None
        for provider in (self._meter_provider, tracer_provider):
            seconds = deadline - time.monotonic()
            if provider is not None and seconds > 0:
                with guarded("metrics"):
                    provider.force_flush(int(seconds * 1000))

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
                self.gauges = _gauges(self)
            except ImportError as error:
                _log.warning("telemetry has no gauges for values of the application: %s", error)
                return
        self.gauges.watch(jobs_waiting, worker_heartbeat)
        if self._is_open:
            self.gauges.begin(self._meter_provider, is_master=children.is_master())

    def serve(self) -> None:
        """Start the metrics listener, if it is configured and not running."""
        if self.listener is not None and self.listener.port is None:
            self._start_listener()

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
        self.metrics.after_fork(self._meter_provider)
        self.spool.after_fork()
        self.recorder.fragments.after_fork(self.spool.process_id)
        if self.writer is not None:
            self.writer.after_fork()
        if self.listener is not None:
            self.listener.after_fork()
        if self.gauges is not None:
            self.gauges.after_fork()

    def _register_metrics(self, provider: object) -> None:
        if not isinstance(provider, MeterProvider):
            return
        self._meter_provider = provider
        for metric, read in (
            (c.SPOOL_PENDING, self.spool.pending),
            (c.SPOOL_OLDEST, self.spool.oldest_age),
            (c.SPOOL_DEAD, self.spool.dead),
            (c.SPOOL_UNREADABLE, lambda: sum(1 for _ in self.spool.unreadable())),
        ):
            self.metrics.gauge(metric, read)
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
        self._start_listener()

    def _nudge(self) -> None:
        if self.writer is not None:
            self.writer.nudge()

    @guarded("processor")
    def _detach(self) -> None:
        """Remove the processor from its provider, for which the SDK has no public way."""
        provider = self._tracer_provider() if self._tracer_provider is not None else None
        active: Any = getattr(provider, "_active_span_processor", None)
        if hasattr(active, "_span_processors") and hasattr(active, "_lock"):
            with active._lock:
                active._span_processors = tuple(
                    processor for processor in active._span_processors if processor is not self.processor
                )

    @guarded("metrics")
    def _start_listener(self) -> None:
        if self.listener is not None and self.listener.port is None:
            with suppressed():
                self.listener.start()


def _with_key(settings: Settings) -> Settings:
    if settings.hmac_key:
        return settings
    if settings.database_url:
        _log.warning(
            "TELEMETRY_HMAC_KEY is not set, nor was Flask's SECRET_KEY when telemetry was set up: documents"
            " are counted, but not matched with their candidate_files"
        )
    return replace(settings, hmac_key=secrets.token_hex())


def _writer(pipeline: Pipeline) -> Writer:
    from exporters.sql.writer.thread import Writer

    settings = pipeline.settings
    daily_check = partial(_daily_check, settings) if settings.daily_check else None
    parts = (pipeline.recorder.fragments, pipeline.spool, pipeline.metrics)
    return Writer(settings, *parts, daily_check=daily_check)


def _gauges(pipeline: Pipeline) -> Gauges:
    from .gauges import Gauges

    return Gauges(pipeline.settings, pipeline.metrics, lambda: pipeline.spool.process_id)


def _daily_check(settings: Settings, nudge: Callable[[], None]) -> DailyCheck:
    from exporters.upkeep.daily_check import DailyCheck

    return DailyCheck(settings, nudge)


def _listener(pipeline: Pipeline) -> Listener:
    from exporters.metrics.listener import Listener

    return Listener(pipeline.settings, pipeline.spool.publish_port)
