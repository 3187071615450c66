"""What one peer adds to the cost of a chat call; :mod:`._peers` runs this in that peer's environment.

A peer is set up as its documentation says, with its defaults, except that it exports to memory instead of the
network.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ._arms import measure
from ._chat import answered_client, call

CHECKED: Final = 10
"""Calls made before measuring, to see that a peer records them."""

_spans = InMemorySpanExporter()


def openlit() -> None:
    """Set up OpenLIT on existing providers, with a file of prices, which it would fetch otherwise."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_spans))
    logs = LoggerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(BatchLogRecordProcessor(InMemoryLogRecordExporter()))  # type: ignore[no-untyped-call]
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False))
    set_logger_provider(logs)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prices:
        json.dump({"chat": {"gpt-4o-mini": {"promptPrice": 0.00015, "completionPrice": 0.0006}}}, prices)
        prices.flush()
        import_module("openlit").init(pricing_json=prices.name)


def traceloop() -> None:
    """Set up OpenLLMetry by its SDK, without its reports of its own use and its metrics over a network."""
    os.environ["TRACELOOP_TELEMETRY"] = "false"
    sdk = import_module("traceloop.sdk")
    sdk.Traceloop.init(exporter=_spans, metrics_exporter=ConsoleMetricExporter(out=io.StringIO()))


def logfire() -> None:
    """Set up Pydantic Logfire, with spans and metrics kept in memory."""
    logfire = import_module("logfire")
    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[BatchSpanProcessor(_spans)],
        metrics=logfire.MetricsOptions(additional_readers=[InMemoryMetricReader()]),
    )
    logfire.instrument_openai()


def langfuse() -> None:
    """Set up Langfuse, whose module replaces the client's; it has no metrics."""
    import_module("langfuse").Langfuse(
        public_key="pk-none", secret_key="sk-none", base_url="http://127.0.0.1:9", span_exporter=_spans
    )
    import_module("langfuse.openai")


PEERS: Final[dict[str, Callable[[], None]]] = {
    "openlit": openlit,
    "traceloop": traceloop,
    "logfire": logfire,
    "langfuse": langfuse,
}


def official() -> None:
    """Set up the official instrumentation, with traces and metrics in memory."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    OpenAIInstrumentor().instrument(tracer_provider=provider, meter_provider=meters)


class Patches:
    """What an instrumentation changed in the classes of the client; most of them cannot be removed."""

    def __init__(self, instrument: Callable[[], None]) -> None:
        """Instrument, remember the changes, and undo them."""
        before = {owner: dict(vars(owner)) for owner in _classes()}
        instrument()
        self._changes = [
            (owner, name, attributes.get(name, _ABSENT), value)
            for owner, attributes in before.items()
            for name, value in vars(owner).items()
            if attributes.get(name, _ABSENT) is not value
        ]
        self._undo()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Apply the changes for a while."""
        for owner, name, _, value in self._changes:
            setattr(owner, name, value)
        try:
            yield
        finally:
            self._undo()

    def _undo(self) -> None:
        for owner, name, value, _ in self._changes:
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


_ABSENT: Final = object()


def _classes() -> set[type]:
    """Return the classes of the client, and of the HTTP library under it."""
    libraries = ("openai", "httpx", "httpx2")
    return {
        value
        for module in list(sys.modules.values())
        if module.__name__.partition(".")[0] in libraries
        for value in list(vars(module).values())
        if isinstance(value, type) and value.__module__.partition(".")[0] in libraries
    }


def main(name: str) -> None:
    """Measure the peer called ``name``; the last line printed holds the times of all calls, as JSON."""
    with answered_client() as client:
        call(client)  # imports what the client imports late
        arms: dict[str, Callable[[], AbstractContextManager[Any]]] = {
            "none": nullcontext,
            "official": Patches(official),
        }
        arms[name] = Patches(PEERS[name])
        with arms[name]():
            for _ in range(CHECKED):
                call(client)
        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]
        if len(_spans.get_finished_spans()) < CHECKED:
            raise SystemExit(f"{name} did not record every call")
        figures = measure(arms, partial(call, client))
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1])
