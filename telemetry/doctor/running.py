"""Check how telemetry runs: application, settings, set-up, instrumentation and tracer provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from opentelemetry import trace

from telemetry.settings import Settings, SettingsError
from telemetry.setup import instrumentation
from telemetry.setup import process as setup
from telemetry.setup.compatibility import installed
from telemetry.setup.provider import foreign_exporters

from .check import Answer, Check, Patient, listening


def check_application(patient: Patient) -> Answer:
    """Check that the application can be loaded, and sets telemetry up."""
    if patient.load_app is None:
        return
    with listening(patient.messages):
        try:
            patient.app = patient.load_app()
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            text = f"cannot be loaded: {type(error).__name__}: {reason}"
            yield Check("bad", "application", text, "name it with flask --app, or repair it")
            return
    if "telemetry" in getattr(patient.app, "extensions", {}):
        yield Check("good", "application", f"{patient.app.name} sets telemetry up")
    else:
        yield Check(
            "bad",
            "application",
            f"{patient.app.name} does not set telemetry up",
            "add telemetry.Telemetry(app) where the application is made",
        )


def check_settings(patient: Patient) -> Answer:
    """Check that all settings are valid."""
    try:
        if patient.app is None:
            settings = Settings.load()
        else:
            from telemetry.web.host_settings import settings_of

            settings = settings_of(patient.app)
    except SettingsError as error:
        yield Check("bad", "settings", str(error), "correct it, or leave it out for the default")
        return
    patient.settings = settings
    yield Check("good", "settings", "valid")


def check_set_up(patient: Patient) -> Answer:
    """Check that telemetry starts in this process, as it would in the application."""
    if patient.settings is None:
        yield Check("bad", "set-up", "telemetry is off as long as the settings are wrong", "see settings")
        return
    if not patient.settings.enabled:
        yield Check("note", "set-up", "telemetry is off: TELEMETRY_ENABLED is false")
        return
    if setup.pipeline() is None:
        with listening(patient.messages):
            # The running application uses the port.
            setup.setup_telemetry(replace(patient.settings, metrics_port=None))
    if setup.pipeline() is not None:
        if patient.app is not None and "telemetry" in patient.app.extensions:
            from telemetry.web.host_state import instrument

            instrument(patient.app)
        yield Check("good", "set-up", "telemetry is on")
        return
    messages = [line for line in patient.messages if not line.startswith("telemetry: ")] or [
        "telemetry is off"
    ]
    yield Check("bad", "set-up", messages[-1], "see above")


def check_instrumentation(patient: Patient) -> Answer:
    """Check that the installed libraries are instrumented."""
    if setup.pipeline() is None:
        return
    for library, by, is_active in _instrumentations(patient.app):
        if is_active:
            seen = f"{library} {installed(library) or ''}".strip()
            yield Check("good", "instrumentation", f"{seen} is seen, by {by} {installed(by)}")
        elif library in instrumentation.disabled():
            yield Check(
                "note",
                "instrumentation",
                f"{library} is switched off by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
            )
        else:
            remedy = "see its line above, or the log at level DEBUG"
            yield Check("bad", "instrumentation", f"{library} is not seen", remedy)
    yield from _attempts()


def _instrumentations(app: Any) -> Iterator[tuple[str, str, bool]]:
    """Yield each library, the distribution that instruments it, and whether that is active."""
    for module, name, library in instrumentation.INSTRUMENTORS:
        if library == "threading" or installed(library):
            yield library, module.replace(".", "-"), instrumentation.is_instrumented(module, name)
    if "telemetry" in getattr(app, "extensions", {}):
        is_seen = getattr(app, "_is_instrumented_by_opentelemetry", False)
        yield "flask", "opentelemetry-instrumentation-flask", is_seen


def _attempts() -> Answer:
    if not installed("openai"):
        return
    try:
        from telemetry.openai import calls as openai
    except ImportError as error:
        yield Check("bad", "attempts", f"of OpenAI calls are not counted: {error}", "see its line above")
        return
    if openai.is_instrumented():
        yield Check("good", "attempts", "of OpenAI calls are counted, retries and 429s included")
    else:
        yield Check("bad", "attempts", "of OpenAI calls are not counted", "see the line of openai above")


def check_provider(_: Patient) -> Answer:
    """Check that no exporter sends spans that are not sanitised."""
    if setup.pipeline() is None:
        return
    foreign = foreign_exporters(trace.get_tracer_provider())
    if not foreign:
        yield Check("good", "tracer provider", "whatever it exports is sanitised")
        return
    text = f"exports by {', '.join(foreign)}, which telemetry did not set up: spans are not sanitised"
    remedy = "let telemetry set the provider up, from OTEL_*"
    if installed("opentelemetry-distro"):
        remedy += "; with opentelemetry-instrument: OTEL_PYTHON_CONFIGURATOR=analysis_telemetry"
    yield Check("bad", "tracer provider", text, remedy)
