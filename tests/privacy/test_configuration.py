"""What an operator is told about export, and that the usual variables of OpenTelemetry suffice."""

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


def said(**settings: str) -> str:
    """What a process says with these settings."""
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
def test_content_takes_two_consents(settings: dict[str, str], missing: str | None) -> None:
    """Where one of two variables is set, the operator is told of the other."""
    lines = [line for line in said(**settings).splitlines() if "prompts and answers" in line]

    assert len(lines) == (missing is not None)
    assert all(missing in line for line in lines if missing)


@pytest.mark.internal_errors
def test_a_configuration_file_sanitises_nothing() -> None:
    """Exporters that OpenTelemetry configures from a file are not ours, and the operator is told."""
    assert "OTEL_CONFIG_FILE" in said(OTEL_CONFIG_FILE="otel.yaml")
    assert "OTEL_CONFIG_FILE" not in said()


def test_otlp_is_enough() -> None:
    """`otlp` as OpenTelemetry's documentation names it, without a word on the protocol, is OTLP over HTTP."""
    exporters = {f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS", "LOGS")}
    with Collector() as collector:
        said(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED="true",
            **exporters,
        )
        sent = b"".join(body for _, body in collector.bodies)

    assert {path for path, _ in collector.bodies} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    assert b"WARN" in sent
    assert b"a text" not in sent
