"""What observing a chat call costs: ``python -m benchmarks.openai_overhead [--peers]``.

It calls the real client, answered in memory, in these arms: not instrumented; with the official
instrumentation, whose traces and metrics end in memory; with ours complete, which is the official one and,
inside an open run and stage, attempts, processor, pricing, metrics and rollup.

The ratio compares a whole call with ours and a whole call with the official instrumentation: processor time
of the calling thread, client included, network excluded; see :mod:`._arms`. The arm "official again" shows
the error of the method: ideally its ratio is 1.

With ``--peers``, other tools follow, each in an environment of its own that is made when it is first
needed, beside bare and official calls of the same process. Their figures have no target.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telemetry
from telemetry.openai import calls as attempts
from telemetry.settings import Settings
from telemetry.testing import recording

from ._arms import Arm, Figures, cost, measure, table
from ._chat import answered_client, call
from ._peers import PEERS, Peer, run_peer

TARGET: Final = 1.15
"""Highest ratio of a call with ours complete to a call with the official instrumentation."""


@contextmanager
def official() -> Iterator[None]:
    """Set up traces and metrics of the official instrumentation."""
    provider = _tracer_provider()
    with _instrumented(provider, _meter_provider()):
        yield
    provider.shutdown()


@contextmanager
def ours() -> Iterator[None]:
    """Set up the official instrumentation and everything of ours, inside a run and a stage."""
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


ARMS: Final[dict[str, Arm]] = {
    "none": nullcontext,
    "official": official,
    "official again": official,
    "ours": ours,
}


def main() -> None:
    """Measure, and print the figures."""
    with answered_client() as client:
        figures = measure(ARMS, partial(call, client))
    print(table(figures, "none", "official"))
    peers = [_report(run_peer(name)) for name in PEERS if "--peers" in sys.argv]
    ratio = _ratio(figures, "ours")
    result = {
        "name": "openai_overhead",
        "ratio": ratio,
        "target": TARGET,
        "met": ratio <= TARGET,
        "control": _ratio(figures, "official again"),
        "added_us": {arm: _added(figures, arm) for arm in figures},
        "peers": {peer.name: _summary(peer) for peer in peers},
    }
    print(json.dumps(result))


def _report(peer: Peer) -> Peer:
    print(f"\n{peer.versions}")
    print(table(peer.figures, "none", "official") if peer.figures else f"not measured: {peer.reason}")
    return peer


def _summary(peer: Peer) -> dict[str, object]:
    if peer.figures is None:
        return {"reason": peer.reason}
    return {"added_us": _added(peer.figures, peer.name), "ratio": _ratio(peer.figures, peer.name)}


def _added(figures: Figures, arm: str) -> float:
    return round(cost(figures, arm) - cost(figures, "none"), 1)


def _ratio(figures: Figures, arm: str) -> float:
    return round(cost(figures, arm) / cost(figures, "official"), 3)


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
