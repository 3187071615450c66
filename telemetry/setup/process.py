"""Set up a process, for ``setup_telemetry()``, the Flask extension and ``opentelemetry-instrument`` alike.

The steps, in order:

* read the settings; a wrong one switches telemetry off with a log line and leaves the application alone;
* take the existing tracer provider, or configure OpenTelemetry from ``OTEL_*``, with sanitised export;
* let it record what its sampler drops, and attach the pipeline that keeps the rollups;
* instrument OpenAI, SQLAlchemy and threads, so that every call finds its run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from telemetry._internal.context import takes_all
from telemetry._internal.guard import guarded
from telemetry._internal.process.garbage import spare_context
from telemetry._internal.process.signals import let_pass
from telemetry._internal.process.streams import keep_streams
from telemetry.settings import PREFIX, Settings, SettingsError

from .compatibility import installed, platform_gap, problems

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import TracerProvider as AnyProvider
    from sqlalchemy.engine import Engine

    from exporters.process.pipeline import Pipeline
    from telemetry.pricing.prices import Pricer

INSTRUMENTORS: Final = (
    ("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor", "openai"),
    ("opentelemetry.instrumentation.sqlalchemy", "SQLAlchemyInstrumentor", "sqlalchemy"),
    ("opentelemetry.instrumentation.threading", "ThreadingInstrumentor", "threading"),
)
"""Module, class, and the library that it instruments."""

_EXTRAS: Final = {
    "opentelemetry.exporter.prometheus": "prometheus",
    "prometheus_client": "prometheus",
    "sqlalchemy": "sql",
    "alembic": "sql",
    "cachetools": "sql",
}
"""Extras by the prefix of the modules they install, if it is not the extra ``sdk``."""

_log = logging.getLogger("telemetry")
_pipeline: Pipeline | None = None
_is_for_operator = False


def setup_telemetry(
    settings: Settings | None = None,
    *,
    engines: Sequence[Engine] = (),
    instrumenting: bool = True,
    name: str = "",
) -> Pipeline | None:
    """Set telemetry up for this process, once; later calls return what the first one made.

    A process has one pipeline. Until :func:`shutdown`, a later call with settings for another database is
    refused in a log line.

    Args:
        settings: default: read from the environment.
        engines: existing SQLAlchemy engines; those made later are found automatically.
        instrumenting: whether to instrument OpenAI, SQLAlchemy and threads too.
        name: name of the application, for the log.

    Returns:
        The pipeline, or None if telemetry is off; the reason is logged.
    """
    off = f"telemetry is off for {name}" if name else "telemetry is off"
    with guarded("setup"):
        if not isinstance(settings, Settings | None):
            _log.error("%s: settings= takes a telemetry.settings.Settings, not %s", off, _a(settings))
            return None
        given: object = engines
        if isinstance(given, str) or not isinstance(given, Sequence):
            _log.warning("telemetry: engines= takes a list of SQLAlchemy engines, not %s", _a(given))
            engines = ()
        if _pipeline is not None and settings is None:
            return _pipeline
        try:
            settings = settings or Settings.load()
        except SettingsError as error:
            _log.error("%s: %s", off, error)
            return None
        if not settings.enabled:
            _log.info("%s: TELEMETRY_ENABLED is false", off)
            return None
        if _pipeline is not None:
            return _pipeline if _shares(_pipeline, settings, off) else None
        if gap := platform_gap():
            _log.error("%s: %s", off, gap)
            return None
        if _set_up(settings) is not None:
            if not settings.database_url and not name:  # the extension says more of it
                _log.warning(
                    "telemetry keeps no rollups, only metrics and traces: set TELEMETRY_DATABASE_URL"
                )
            if instrumenting:
                instrument(sdk_provider(), engines)
        return _pipeline
    return None


def _a(value: object) -> str:
    return f"a value of type {type(value).__qualname__}"


def _shares(pipeline: Pipeline, settings: Settings, off: str) -> bool:
    """Return whether a caller with ``settings`` may share ``pipeline``; if not, log why."""
    if takes_all():
        return True
    there, wanted = pipeline.settings.database(), settings.database()
    if there != wanted:
        _log.error(
            "%s: this process records into %s, and its database is %s; call telemetry.shutdown() before the"
            " second is set up, or run one process for each",
            off,
            there or "no database",
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
            "telemetry: %s differ from those that this process was set up with, which hold until"
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
    """Attach a pipeline to ``provider``, which another library may have made; return the pipeline.

    Args:
        provider: its sampler is wrapped, so that totals do not depend on sampling.
        settings: settings of the pipeline.
        meter_provider: provider of the metrics; without one there are none.
        takes_all: whether to record also what belongs to applications of other pipelines (in tests).
        price: prices calls; default: as the settings say.

    Raises:
        ImportError: if the extra ``sdk`` is missing, or one that a setting needs.
        ValueError: if TELEMETRY_DATABASE_URL cannot be used.
    """
    from exporters.process.pipeline import Pipeline
    from telemetry.pricing.provider import use_openai_hosts

    from .sampling import record_all

    pipeline = Pipeline(settings, price)
    use_openai_hosts(settings.openai_hosts)
    spare_context()
    record_all(provider)
    pipeline.start(provider, meter_provider, takes_all=takes_all)
    return pipeline


def shutdown(seconds: float | None = None) -> bool:
    """End telemetry in this process: close what is open, deliver it, free the port and the spool.

    Afterwards everything is a no-op, until telemetry is set up again, for the same application or another.

    Args:
        seconds: how long to wait for the database; default: TELEMETRY_SHUTDOWN_SECONDS. Undelivered entries
            stay in the spool for the next process.

    Returns:
        Whether all was delivered.
    """
    global _pipeline
    if not isinstance(seconds, int | float | None):
        _log.warning("telemetry: shutdown() takes a number of seconds, not %s", _a(seconds))
        seconds = None
    pipeline, _pipeline = _pipeline, None
    return True if pipeline is None else pipeline.shutdown(seconds)


@contextmanager
def standing_in(pipeline: Pipeline) -> Iterator[None]:
    """Make ``pipeline`` that of the process within the block (for tests)."""
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
    """Note that this process answers requests, and start its Prometheus endpoint if it has none."""
    if _pipeline is not None:
        _pipeline.serve()


def pre_instrument() -> None:
    """Hook of ``opentelemetry-instrument``.

    Runs before any tracer exists, whoever configured the provider.
    """
    with guarded("setup"):
        provider = sdk_provider()
        if provider is None:
            return
        from .sampling import record_all

        record_all(provider)
        if os.environ.get("TELEMETRY_DATABASE_URL"):
            setup_telemetry(instrumenting=False)


def post_instrument() -> None:
    """Hook of ``opentelemetry-instrument``: instrument what it refused or does not know."""
    if _pipeline is not None:
        instrument(sdk_provider())


def instrument(provider: AnyProvider | None = None, engines: Sequence[Engine] = ()) -> None:
    """Instrument OpenAI, SQLAlchemy and threads where installed; one failure leaves the others working.

    Args:
        provider: provider of our own spans; default: the global one.
        engines: existing SQLAlchemy engines.
    """
    off = disabled()
    for module, name, library in INSTRUMENTORS:
        if library not in off:
            _instrument(module, name, library, {"engines": list(engines)} if library == "sqlalchemy" else {})
    _count_attempts(provider)
    keep_streams()


def disabled() -> list[str]:
    """Return the libraries in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."""
    named = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").replace(" ", "").split(",")
    return [library for _, _, library in INSTRUMENTORS] if "*" in named else named


def is_instrumented(module: str, name: str) -> bool:
    """Return whether one of :data:`INSTRUMENTORS` is active, whoever started it."""
    try:
        return bool(getattr(import_module(module), name)().is_instrumented_by_opentelemetry)
    except ImportError:
        return False


def not_seen(library: str, error: Exception) -> None:
    """Log why ``library`` is not instrumented, unless it is absent or that was logged before."""
    is_known = any(library in (found.library.name, found.library.beside) for found in problems())
    level = logging.WARNING if installed(library) and not is_known else logging.DEBUG
    _log.log(level, "telemetry does not see %s %s: %s", library, installed(library), error)


def _count_attempts(provider: AnyProvider | None) -> None:
    try:
        from telemetry.openai import calls as openai
    except ImportError as error:
        not_seen("openai", error)
    else:
        openai.instrument(provider)


def _warn_of_versions() -> None:
    """Log each missing or unsupported library once, in a line."""
    found = list(problems())
    if any(problem.library.name == "opentelemetry-sdk" and problem.found is None for problem in found):
        return  # without the SDK telemetry is off, which is logged elsewhere
    for problem in found:
        _log.warning("telemetry: %s", problem)


def _set_up(settings: Settings) -> Pipeline | None:
    global _pipeline
    _warn_of_versions()
    try:
        provider = sdk_provider()
        if provider is None:
            provider = _configure(settings)
        else:
            _warn_of_foreign_export(provider)
        _pipeline = attach(provider, settings, meter_provider=metrics.get_meter_provider())
    except ImportError as error:
        _log.error("telemetry is off: %s%s", error, remedy(error))
    except (LookupError, ValueError) as error:
        _log.error("telemetry is off: %s", error)
    return _pipeline


def remedy(error: ImportError) -> str:
    """Return how to install what is missing, unless the error says so."""
    if "pip install" in str(error):
        return ""
    module = error.name or ""
    if module.partition(".")[0] == "exporters":
        return _remedy_without_exporters()
    extra = next((extra for start, extra in _EXTRAS.items() if module.startswith(start)), "sdk")
    return f"; pip install 'analysis-telemetry[{extra}]'"


def _remedy_without_exporters() -> str:
    """Return why our package ``exporters`` is not found: another comes first, or it is missing."""
    spec = find_spec("exporters")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        return "; pip install --force-reinstall analysis-telemetry"
    return f"; {folders[0]} is found before the package of analysis-telemetry: rename it"


def _configure(settings: Settings) -> TracerProvider:
    from .configurator import TelemetryConfigurator

    found = trace.get_tracer_provider()
    if not isinstance(found, trace.ProxyTracerProvider):
        kind = type(found)
        raise LookupError(
            f"the tracer provider of this process is {kind.__module__}.{kind.__qualname__}, and none of the"
            " OpenTelemetry SDK; set telemetry up before it, or leave it out"
        )
    try:
        TelemetryConfigurator(settings).configure()  # type: ignore[no-untyped-call]
    except RuntimeError as error:  # OTEL_* names an exporter that is not installed
        raise LookupError(str(error)) from error
    provider = sdk_provider()
    if provider is None:
        raise LookupError("OTEL_* lead to a tracer provider that is not of the OpenTelemetry SDK")
    return provider


def sdk_provider() -> TracerProvider | None:
    """Return the global provider if it is one of the SDK, else None."""
    try:
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        return None
    provider = trace.get_tracer_provider()
    return provider if isinstance(provider, TracerProvider) else None


def _instrument(module: str, name: str, library: str, options: dict[str, Any]) -> None:
    try:
        instrumentor = getattr(import_module(module), name)()
    except ImportError as error:
        not_seen(library, error)
        return
    if instrumentor.is_instrumented_by_opentelemetry:
        return
    try:
        # The declared bounds lag behind: SQLAlchemy 2.1 is refused but works.
        instrumentor.instrument(skip_dep_check=True, **options)
    except Exception as error:
        let_pass(error)
        not_seen(library, error)


def _warn_of_foreign_export(provider: AnyProvider) -> None:
    """Warn that spans sent by other libraries' exporters are not sanitised."""
    if foreign_exporters(provider):
        _log.warning(
            "telemetry joined a tracer provider that exports spans by itself: they are not sanitised"
        )


def foreign_exporters(provider: AnyProvider) -> list[str]:
    """Return the names of the exporters of ``provider`` whose spans are not sanitised."""
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    from .configurator import SanitisingProcessor

    processors = getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())
    exporting = [found for found in processors if isinstance(found, BatchSpanProcessor | SimpleSpanProcessor)]
    return [
        type(getattr(processor, "span_exporter", processor)).__name__
        for processor in exporting
        if not isinstance(processor, SanitisingProcessor)
    ]
