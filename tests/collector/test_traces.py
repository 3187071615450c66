"""Traces in a real Jaeger, by OTLP over gRPC."""

from __future__ import annotations

from pathlib import Path

from telemetry.conventions import Attribute
from tests.collector.messages import span, traces
from tests.collector.running import BASE, PATIENCE, RunningCollector
from tests.jaeger import Jaeger
from tests.waiting import until


def test_a_trace_arrives_whole(tmp_path: Path) -> None:
    """A rate-limited analysis is in Jaeger with all its spans and our attributes, sent by gRPC."""
    root = span("analysis", seconds=9, analysis__run__kind="analysis")
    call = span("chat gpt-4o", trace=root.trace_id, parent=root.span_id, analysis__openai__rate_limit_hits=2)
    with Jaeger() as jaeger:
        settings = {"COLLECTOR_JAEGER": jaeger.place, "COLLECTOR_OTHERS_PERCENT": "0"}
        with RunningCollector(tmp_path, *BASE, "jaeger.yaml", **settings) as collector:
            for one in (call, root):
                collector.send("traces", traces(one))
            until(
                lambda: _names(jaeger, root.trace_id.hex()) == ["analysis", "chat gpt-4o"],
                PATIENCE,
                what="the trace",
            )
        found = jaeger.trace(root.trace_id.hex())
        assert jaeger.services() == ["screener"]

    assert found
    tags = {tag["key"]: tag["value"] for one in found["spans"] for tag in one["tags"]}
    assert tags[Attribute.RATE_LIMIT_HITS] == 2
    assert tags[Attribute.RUN_KIND] == "analysis"


def _names(jaeger: Jaeger, trace_id: str) -> list[str]:
    found = jaeger.trace(trace_id)
    return sorted(one["operationName"] for one in found["spans"]) if found else []
