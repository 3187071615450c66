"""What observing a chat call costs: ``python -m benchmarks.openai_overhead``.

The real client, answered in memory, in one process, in turn: not instrumented; the official
instrumentation with traces and metrics, both exported to memory; ours complete, which is the official one
and, inside an open run and stage, attempts, processor, pricing, metrics and rollup. A call over a network
waits a hundred to ten thousand times as long as any of these.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Final

import httpx2
from openai import OpenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telemetry
from telemetry import openai as attempts
from telemetry.settings import Settings
from telemetry.testing import recording

from .attempt_hook import ANSWER, HEADERS, call

ROUNDS: Final = 40
CALLS: Final = 25
TARGET: Final = 1.15
"""Ours complete may cost a call at most this much of what it costs with the official instrumentation."""

Arm = Callable[[], AbstractContextManager[object]]


@contextmanager
def official() -> Iterator[None]:
    """Traces and metrics of the official instrumentation."""
    provider = _tracer_provider()
    with _instrumented(provider, _meter_provider()):
        yield
    provider.shutdown()


@contextmanager
def ours() -> Iterator[None]:
    """The official instrumentation and everything of ours, inside a run and a stage."""
    provider, meters = _tracer_provider(), _meter_provider()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        settings = Settings(spool_dir=folder)  # the writer works in a thread of its own, outside the call
        stack.enter_context(recording(settings, provider, meter_provider=meters))
        stack.enter_context(_instrumented(provider, meters))
        attempts.instrument(provider)
        stack.callback(attempts.uninstrument)
        stack.enter_context(telemetry.run("analysis"))
        stack.enter_context(telemetry.stage("ranking"))
        yield
    provider.shutdown()


ARMS: Final[dict[str, Arm]] = {"none": nullcontext, "official": official, "ours": ours}


def measure() -> dict[str, list[float]]:
    """Return microseconds a call for each arm, one figure a round."""
    answers = httpx2.MockTransport(lambda request: httpx2.Response(200, json=ANSWER, headers=HEADERS))
    figures: dict[str, list[float]] = {name: [] for name in ARMS}
    with OpenAI(api_key="none", http_client=httpx2.Client(transport=answers)) as client:
        for _ in range(ROUNDS):
            for name, arm in ARMS.items():
                with arm():
                    figures[name].append(_microseconds(client))
    return figures


def main() -> None:
    """Measure, and print the figures."""
    figures = measure()
    for name, rounds in figures.items():
        added = statistics.median(one - none for one, none in zip(rounds, figures["none"], strict=True))
        print(f"{name:<10} {statistics.median(rounds):8.1f} µs a call   {added:+8.1f} µs added")
    pairs = zip(figures["ours"], figures["official"], strict=True)
    ratio = statistics.median(ours / official for ours, official in pairs)
    print(
        json.dumps(
            {"name": "openai_overhead", "ratio": round(ratio, 3), "target": TARGET, "met": ratio <= TARGET}
        )
    )


def _microseconds(client: OpenAI) -> float:
    for _ in range(3):
        call(client)
    gc.collect()
    gc.disable()
    started = time.process_time_ns()
    for _ in range(CALLS):
        call(client)
    elapsed = time.process_time_ns() - started
    gc.enable()
    return elapsed / CALLS / 1000


@contextmanager
def _instrumented(provider: TracerProvider, meters: MeterProvider) -> Iterator[None]:
    OpenAIInstrumentor().instrument(tracer_provider=provider, meter_provider=meters)
    yield
    OpenAIInstrumentor().uninstrument()


def _tracer_provider() -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    return provider


def _meter_provider() -> MeterProvider:
    return MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)


if __name__ == "__main__":
    main()
