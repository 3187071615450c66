"""Warnings about the configuration of export, and export by the usual variables of OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.end_to_end.collector import Collector
from tests.end_to_end.processes import ROOT, environment

PROGRAM = """
import logging
from opentelemetry import trace
from telemetry.setup import setup_telemetry

logging.basicConfig()
setup_telemetry(instrumenting=False)
with trace.get_tracer("host").start_as_current_span("work"):
    logging.getLogger("host").warning("a text")
"""
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


def log_of(**settings: str) -> str:
    """Return the standard error of a process with these settings."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(**settings), timeout=300, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({CAPTURE: "SPAN_ONLY"}, "TELEMETRY_MESSAGE_CONTENT=true"),
        ({"TELEMETRY_MESSAGE_CONTENT": "true"}, f"{CAPTURE}=SPAN_ONLY"),
        ({CAPTURE: "NO_CONTENT", "TELEMETRY_MESSAGE_CONTENT": "true"}, f"{CAPTURE}=SPAN_ONLY"),
        ({CAPTURE: "EVENT_ONLY", "TELEMETRY_MESSAGE_CONTENT": "true"}, None),
        ({CAPTURE: "NO_CONTENT"}, None),
        ({}, None),
    ],
)
def test_content_needs_two_settings(settings: dict[str, str], missing: str | None) -> None:
    """Where only one of the two is set, a line names the other."""
    lines = [line for line in log_of(**settings).splitlines() if "prompts and answers" in line]

    assert len(lines) == (missing is not None)
    assert all(missing in line for line in lines if missing)


@pytest.mark.internal_errors
def test_configuration_file_is_reported_as_not_sanitised() -> None:
    """Exporters that OpenTelemetry configures from a file bypass the sanitiser; a line says so."""
    assert "OTEL_CONFIG_FILE" in log_of(OTEL_CONFIG_FILE="otel.yaml")
    assert "OTEL_CONFIG_FILE" not in log_of()


def test_otlp_without_a_protocol_is_http() -> None:
    """The exporter `otlp` alone, without a protocol, is OTLP over HTTP."""
    exporters = {f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS", "LOGS")}
    with Collector() as collector:
        log_of(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED="true",
            **exporters,
        )
        sent = b"".join(body for _, body in collector.bodies)

    assert {path for path, _ in collector.bodies} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert b"WARN" in sent
    assert b"a text" not in sent
