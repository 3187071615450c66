"""What puts the parts of a process together: by hand, by ``opentelemetry-instrument``, or for Flask."""

from .process import attach, instrument, pipeline, setup_telemetry, shutdown

__all__ = ["attach", "instrument", "pipeline", "setup_telemetry", "shutdown"]
