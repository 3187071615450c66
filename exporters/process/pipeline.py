"""Everything between an ended span and a row: recorder, processor, metrics, spool and writer of a process.

``telemetry.setup`` makes a :class:`Pipeline`, and imports it where it does: applications need the SDK only
then.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import secrets
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from exporters.metrics.instruments import Metrics
from exporters.recording.processor import RollupProcessor
from exporters.recording.recorder import RunRecorder
from exporters.rollup.merge import Rollup, merge
from exporters.rollup.snapshot import Snapshot
from exporters.spool.directory import Spool
from exporters.spool.entry import Item
from exporters.spool.warning_event import WarningEvent
from telemetry import conventions as c
from telemetry._internal.context import install, recorder, suppressed
from telemetry._internal.guard import guarded, reset_internal_errors
from telemetry._internal.process.forks import register_in_child, register_in_parent
from telemetry.pricing.prices import Pricer, default_pricer
from telemetry.settings import Settings

from . import sigterm

if TYPE_CHECKING:
    from exporters.integrity.watch import IntegrityWatch
    from exporters.metrics.listener import Listener
    from exporters.sql.writer.thread import Writer
    from exporters.upkeep.daily_check import DailyCheck

_log = logging.getLogger("telemetry")


class Pipeline:
    """The parts of one process, from spans to rows and metrics."""

    def __init__(self, settings: Settings, price: Pricer | None = None) -> None:
        """Put the parts together; nothing runs before :meth:`start`.

        Args:
            settings: of the process.
            price: what a call costs; default: as the settings say.

        Raises:
            ValueError: when TELEMETRY_DATABASE_URL cannot be used.
            ImportError: when the extra ``sql`` or ``prometheus`` is missing that a setting asks for.
        """
        is_key_shared = bool(settings.hmac_key)
        self.settings = settings = _with_key(settings)
        self.writer: Writer | None = None
        self.integrity: IntegrityWatch | None = None
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
        self.listener = _listener(self) if settings.metrics_port is not None else None
        self._is_open = False
        self._meter_provider: MeterProvider | None = None
        self._tracer_provider: weakref.ref[TracerProvider] | None = None
        self._listeners: list[Callable[[Snapshot], None]] = []

    def on_end(self, listener: Callable[[Snapshot], None]) -> None:
        """Call ``listener`` with the final snapshot of every fragment that ends here (for tests)."""
        self._listeners.append(listener)

    def rollup(self, snapshot: Snapshot) -> Rollup:
        """Return what a run comes to of which this is the only part (for tests)."""
        return merge([snapshot])

    def start(
        self, tracer_provider: TracerProvider, meter_provider: object = None, *, takes_all: bool = False
    ) -> None:
        """Listen to ``tracer_provider``, register the metrics, and let runs report here.

        Args:
            tracer_provider: of the spans to listen to.
            meter_provider: where to register the metrics; none of the SDK's: nowhere.
            takes_all: whether to record also what belongs to applications of other pipelines (in tests).
        """
        tracer_provider.add_span_processor(self.processor)
        self._tracer_provider = weakref.ref(tracer_provider)
        self._register_metrics(meter_provider)
        install(self.recorder, takes_all=takes_all)
        self._is_open = True
        _open.append(self)
        _follow_forks()
        if multiprocessing.parent_process() is not None:  # telemetry is set up in a child
            _shut_down_with_child(self)
        _shut_down_with_celery(self)
        atexit.register(self.shutdown)
        if self.writer is not None and self.settings.save_on_sigterm:
            sigterm.follow(self)
        if not _is_master():
            self._start_listener()
        if self.writer is not None and (self.spool.has_strangers() or self.settings.daily_check):
            self.writer.wake()

    def shutdown(self, seconds: float | None = None) -> bool:
        """Close what is open, deliver what waits for at most ``seconds`` (default: the setting), and stop.

        Returns:
            Whether everything reached the database; what did not stays in the spool for the next process.
        """
        if not self._is_open:
            return True
        self._is_open = False
        _open.remove(self)
        atexit.unregister(self.shutdown)
        sigterm.leave(self)
        self.processor.stop()
        self.recorder.interrupt()
        self._leave_provider()
        if recorder() is self.recorder:
            install(None)
        delivered = True
        if self.writer is not None:
            delivered = self.writer.drain(self.settings.shutdown_seconds if seconds is None else seconds)
        with guarded("spool"):
            self.spool.close()
        if self.listener is not None:
            self.listener.stop()
        return delivered

    def save(self) -> None:
        """Close what is open as interrupted, with its exact spend, and put it into the spool."""
        self.recorder.interrupt()

    def deliver(self, seconds: float) -> None:
        """Deliver what is in the spool for at most ``seconds``, then put there what began meanwhile."""
        if self.writer is not None:
            self.writer.drain(min(seconds, self.settings.shutdown_seconds))
            self.writer.save()
        with guarded("spool"):
            self.spool.close()

    def warned(self, warning_type: str, action: str) -> None:
        """Count a warning that was shown, or what a user did then."""
        self.metrics.totals.add(c.WARNINGS, 1, type=warning_type, action=action)

    def serve(self) -> None:
        """Answer Prometheus, where a setting asks for that and it has not begun."""
        if self.listener is not None and self.listener.port is None:
            self._start_listener()

    def host_committed(self) -> None:
        """Say that the host committed a transaction of its own."""
        if self.writer is not None:
            self.writer.host_committed()

    def after_fork(self) -> None:
        """Become the pipeline of a forked child.

        Empty, with a directory, threads and connections of its own.
        """
        reset_internal_errors()
        self.metrics.after_fork(self._meter_provider)
        self.spool.after_fork()
        self.recorder.after_fork(self.spool.process_id)
        if self.writer is not None:
            self.writer.after_fork()
        if self.listener is not None:
            self.listener.after_fork()

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
        if self.integrity is not None:
            self.metrics.labelled_gauge(c.INTEGRITY_VIOLATIONS, self.integrity.counts)
        if self.listener is not None:
            self.listener.register(provider)
        self.metrics.register(provider)

    def _save(self, item: Item) -> None:
        if isinstance(item, Snapshot) and item.is_closed and not item.is_loose:
            for listener in self._listeners:
                listener(item)
        if self.writer is not None:
            with guarded("spool"):  # what the disk refuses waits in memory
                self.spool.put(item)
        elif isinstance(item, WarningEvent) and not item.warned.is_answer:
            self.warned(str(item.warned.type), c.SHOWN)

    def _wake(self) -> None:
        if self.writer is not None:
            self.writer.wake()
        else:
            self.recorder.changed()
        self._start_listener()

    def _nudge(self) -> None:
        if self.writer is not None:
            self.writer.nudge()

    @guarded("processor")
    def _leave_provider(self) -> None:
        """Spare the provider, which has no way to remove a processor, one more that does nothing."""
        provider = self._tracer_provider() if self._tracer_provider is not None else None
        active: Any = getattr(provider, "_active_span_processor", None)
        if hasattr(active, "_span_processors") and hasattr(active, "_lock"):
            with active._lock:
                active._span_processors = tuple(
                    each for each in active._span_processors if each is not self.processor
                )

    @guarded("metrics")
    def _start_listener(self) -> None:
        if self.listener is not None and self.listener.port is None:
            with suppressed():
                self.listener.start()


_open: Final[list[Pipeline]] = []
"""The pipelines of this process that were started and not shut down."""


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
    from exporters.integrity.watch import IntegrityWatch
    from exporters.sql.writer.thread import Writer

    settings = pipeline.settings
    pipeline.integrity = IntegrityWatch(settings)
    daily_check = partial(_daily_check, settings) if settings.daily_check else None
    parts = (pipeline.recorder, pipeline.spool, pipeline.metrics)
    return Writer(settings, *parts, integrity=pipeline.integrity, daily_check=daily_check)


def _daily_check(settings: Settings, nudge: Callable[[], None]) -> DailyCheck:
    from exporters.upkeep.daily_check import DailyCheck

    return DailyCheck(settings, nudge)


def _listener(pipeline: Pipeline) -> Listener:
    from exporters.metrics.listener import Listener

    return Listener(pipeline.settings, pipeline.spool.publish_port)


@cache
def _follow_forks() -> None:
    """Have the open pipelines start anew in forked children, and shut down where these end.

    multiprocessing holds what its hooks are for by weak references, whose callbacks are written in Python:
    here it is something that lives as long as the process.
    """
    register_in_child(_after_fork)
    register_in_parent(_has_forked)
    multiprocessing.util.register_after_fork(Pipeline, lambda _: _shut_down_with_child(*_open))


def _is_master() -> bool:
    """Say whether this process only loads the application and forks the workers that do what there is to do.

    It would keep the port of the metrics; should it do something itself, it asks for the port then.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and hasattr(uwsgi, "worker_id"):
        return bool(uwsgi.worker_id() == 0)
    frame: FrameType | None = sys._getframe()
    callers = set()
    while frame is not None:
        if frame.f_globals.get("__name__") == "gunicorn.arbiter":
            callers.add(frame.f_code.co_name)
        frame = frame.f_back
    return "setup" in callers and "spawn_worker" not in callers


def _has_forked() -> None:
    for pipeline in _open:
        if pipeline.writer is not None and pipeline.recorder.has_open_runs:
            pipeline.writer.has_forked()


def _after_fork() -> None:
    for pipeline in _open:
        with guarded("setup"):
            pipeline.after_fork()
            _shut_down_with_celery(pipeline)


def _shut_down_with_child(*pipelines: Pipeline) -> None:
    """Children of multiprocessing leave by os._exit, past every exit hook but those of multiprocessing."""
    for pipeline in pipelines:
        multiprocessing.util.Finalize(None, pipeline.shutdown, exitpriority=100)


def _shut_down_with_celery(pipeline: Pipeline) -> None:
    """Children of Celery's pool leave by os._exit too, past every hook but a signal of Celery's own."""
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(
            lambda **_: pipeline.shutdown(), weak=False, dispatch_uid=f"analysis-telemetry {id(pipeline)}"
        )
