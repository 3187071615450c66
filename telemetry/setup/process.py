"""Set up a process, for ``setup_telemetry()``, the Flask extension and ``opentelemetry-instrument`` alike.

The steps, in order:

* read the settings; a wrong one turns telemetry off with a log line, and does not affect the application;
* use the existing tracer provider, or configure OpenTelemetry from ``OTEL_*``, with sanitised export;
* let it record spans that its sampler drops, and attach the pipeline that records rollups;
* instrument OpenAI, SQLAlchemy and threads, so that every call is added to its run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from opentelemetry import metrics

from telemetry._internal.context import takes_all
from telemetry._internal.guard import guarded
from telemetry._internal.process.garbage import protect_context
from telemetry.settings import PREFIX, Settings, SettingsError

from .compatibility import platform_gap, problems
from .instrumentation import instrument
from .missing import remedy
from .provider import configure, sdk_provider, warn_of_foreign_export, warn_of_missing_metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import TypeAlias

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from sqlalchemy.engine import Engine

    from exporters.process.pipeline import Pipeline
    from telemetry.pricing.prices import Pricer

    JobsWaiting: TypeAlias = Callable[[], int | None]
    WorkerHeartbeat: TypeAlias = Callable[[], datetime | None]

_log = logging.getLogger("telemetry")
_pipeline: Pipeline | None = None
_is_for_operator = False


def setup_telemetry(
    settings: Settings | None = None,
    *,
    engines: Sequence[Engine] = (),
    instrumenting: bool = True,
    name: str = "",
    jobs_waiting: JobsWaiting | None = None,
    worker_heartbeat: WorkerHeartbeat | None = None,
) -> Pipeline | None:
    """Set telemetry up for this process, once; later calls return the same pipeline.

    A process has one pipeline. Until :func:`shutdown`, a later call with settings for another database is
    refused, with a log line.

    Args:
        settings: default: read from the environment.
        engines: existing SQLAlchemy engines; those made later are found automatically.
        instrumenting: whether to instrument OpenAI, SQLAlchemy and threads too.
        name: name of the application, for the log.
        jobs_waiting: returns the number of jobs that wait for a worker, or None, for a gauge.
        worker_heartbeat: returns when a worker last showed that it is alive, or None, for a gauge.

    Returns:
        The pipeline, or None if telemetry is off; the reason is logged.
    """
    off = f"telemetry is off for {name}" if name else "telemetry is off"
    with guarded("setup"):
        if not isinstance(settings, Settings | None):
            _log.error("%s: settings= takes a telemetry.settings.Settings, not %s", off, _type_text(settings))
            return None
        given: object = engines
        if isinstance(given, str) or not isinstance(given, Sequence):
            _log.warning("telemetry: engines= takes a list of SQLAlchemy engines, not %s", _type_text(given))
            engines = ()
        if _pipeline is not None and settings is None:
            return _watching(_pipeline, jobs_waiting, worker_heartbeat)
        try:
            settings = settings or Settings.load()
        except SettingsError as error:
            _log.error("%s: %s", off, error)
            return None
        if not settings.enabled:
            _log.info("%s: TELEMETRY_ENABLED is false", off)
            return None
        if _pipeline is not None:
            if not _shares(_pipeline, settings, off):
                return None
            return _watching(_pipeline, jobs_waiting, worker_heartbeat)
        if gap := platform_gap():
            _log.error("%s: %s", off, gap)
            return None
        if _set_up(settings) is not None:
            if not settings.database_url and not name:  # the Flask extension logs this itself
                _log.warning(
                    "telemetry keeps no rollups, only metrics and traces: set TELEMETRY_DATABASE_URL"
                )
            if instrumenting:
                instrument(sdk_provider(), engines)
        return _watching(_pipeline, jobs_waiting, worker_heartbeat)
    return None


def _watching(
    pipeline: Pipeline | None, jobs_waiting: JobsWaiting | None, worker_heartbeat: WorkerHeartbeat | None
) -> Pipeline | None:
    """Return ``pipeline``, which reports what the callables of the application return."""
    if pipeline is not None:
        pipeline.watch_host(
            jobs_waiting if _is_callable("jobs_waiting", jobs_waiting) else None,
            worker_heartbeat if _is_callable("worker_heartbeat", worker_heartbeat) else None,
        )
    return pipeline


def _is_callable(option: str, given: object) -> bool:
    """Return whether an option that may be None is a callable; if it is anything else, log that."""
    if given is not None and not callable(given):
        _log.warning("telemetry: %s= takes a callable, not %s", option, _type_text(given))
    return callable(given)


def _type_text(value: object) -> str:
    return f"a value of type {type(value).__qualname__}"


def _shares(pipeline: Pipeline, settings: Settings, off: str) -> bool:
    """Return whether a caller with ``settings`` may share ``pipeline``; if not, log why."""
    if takes_all():
        return True
    current, wanted = pipeline.settings.database(), settings.database()
    if current != wanted:
        _log.error(
            "%s: this process records into %s, and its database is %s; call telemetry.shutdown() before the"
            " second is set up, or run one process for each",
            off,
            current or "no database",
            wanted or "none",
        )
        return False
    others = [
        f"{PREFIX}{field.name.upper()}"
        for field in fields(Settings)
        if field.name != "database_url"
        and getattr(settings, field.name) not in ("", getattr(pipeline.settings, field.name))
    ]
    if others:
        _log.warning(
            "telemetry: this process was set up with other values of %s, which apply until"
            " telemetry.shutdown()",
            ", ".join(others),
        )
    return True


def attach(
    provider: TracerProvider,
    settings: Settings,
    *,
    meter_provider: MeterProvider | None = None,
    takes_all: bool = False,
    price: Pricer | None = None,
) -> Pipeline:
    """Attach a pipeline to ``provider``, which another library may have created; return the pipeline.

    Args:
        provider: its sampler is wrapped, so that totals do not depend on sampling.
        settings: settings of the pipeline.
        meter_provider: provider of the metrics; without one there are none.
        takes_all: whether to record applications of other pipelines too (in tests).
        price: prices calls; default: the pricer that the settings define.

    Raises:
        ImportError: if the extra ``sdk`` is missing, or one that a setting needs.
        ValueError: if TELEMETRY_DATABASE_URL cannot be used.
    """
    from exporters.process.pipeline import Pipeline
    from telemetry.pricing.provider import use_openai_hosts

    from .sampling import record_all

    pipeline = Pipeline(settings, price)
    use_openai_hosts(settings.openai_hosts)
    protect_context()
    record_all(provider)
    pipeline.start(provider, meter_provider, takes_all=takes_all)
    return pipeline


def shutdown(seconds: float | None = None) -> bool:
    """End telemetry in this process: close open runs, deliver them, release the port and the spool.

    Afterwards every call is a no-op, until telemetry is set up again, for the same application or another.

    Args:
        seconds: how long to wait for the database; default: TELEMETRY_SHUTDOWN_SECONDS. Undelivered entries
            stay in the spool for the next process.

    Returns:
        Whether everything was delivered.
    """
    global _pipeline
    if not isinstance(seconds, int | float | None):
        _log.warning("telemetry: shutdown() takes a number of seconds, not %s", _type_text(seconds))
        seconds = None
    pipeline, _pipeline = _pipeline, None
    return True if pipeline is None else pipeline.shutdown(seconds)


@contextmanager
def replace_pipeline(pipeline: Pipeline) -> Iterator[None]:
    """Make ``pipeline`` the pipeline of the process within the block (for tests)."""
    global _pipeline
    before, _pipeline = _pipeline, pipeline
    try:
        yield
    finally:
        _pipeline = before


@contextmanager
def for_operator() -> Iterator[None]:
    """Keep applications from setting telemetry up within the block, in which a command runs."""
    global _is_for_operator
    before, _is_for_operator = _is_for_operator, True
    try:
        yield
    finally:
        _is_for_operator = before


def is_for_operator() -> bool:
    """Return whether this process runs one of our commands, not the application."""
    return _is_for_operator


def pipeline() -> Pipeline | None:
    """Return the pipeline of the process, or None while telemetry is off."""
    return _pipeline


def serve() -> None:
    """Start the Prometheus endpoint, unless it runs: the process has begun to handle requests."""
    if _pipeline is not None:
        _pipeline.serve()


def pre_instrument() -> None:
    """Hook of ``opentelemetry-instrument``, which runs before any tracer exists."""
    with guarded("setup"):
        provider = sdk_provider()
        if provider is None:
            return
        from .sampling import record_all

        record_all(provider)
        if os.environ.get("TELEMETRY_DATABASE_URL"):
            setup_telemetry(instrumenting=False)


def post_instrument() -> None:
    """Hook of ``opentelemetry-instrument``: instrument libraries that it refused or does not know."""
    if _pipeline is not None:
        instrument(sdk_provider())


def _warn_of_versions() -> None:
    """Log each missing or unsupported library in one line."""
    known = list(problems())
    if any(problem.library.name == "opentelemetry-sdk" and problem.version is None for problem in known):
        return  # without the SDK telemetry is off, which is logged elsewhere
    for problem in known:
        _log.warning("telemetry: %s", problem)


def _set_up(settings: Settings) -> Pipeline | None:
    global _pipeline
    _warn_of_versions()
    try:
        provider = sdk_provider()
        if provider is None:
            provider = configure(settings)
        else:
            warn_of_foreign_export(provider)
            warn_of_missing_metrics(settings)
        _pipeline = attach(provider, settings, meter_provider=metrics.get_meter_provider())
    except ImportError as error:
        _log.error("telemetry is off: %s%s", error, remedy(error))
    except (LookupError, ValueError) as error:
        _log.error("telemetry is off: %s", error)
    return _pipeline
