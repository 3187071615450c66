"""Set telemetry up in a process: by hand, by ``opentelemetry-instrument``, or for Flask."""

from .instrumentation import instrument
from .process import attach, pipeline, setup_telemetry, shutdown

__all__ = ["attach", "instrument", "pipeline", "setup_telemetry", "shutdown"]
