"""Metrics of other programs are called as the rules call them: each is asked of the running program.

That of postgres_exporter is not: there is no such program here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tests.alert_rules.test_rule_checks import OTHERS
from tests.alertmanager import RunningAlertmanager
from tests.collector.messages import Request, counter, logs, span, traces
from tests.collector.running import BASE, PATIENCE, RunningCollector
from tests.prometheus import Prometheus, receiving
from tests.tools import program
from tests.waiting import until

BACKENDS = """
exporters:
  otlp_http/refusing: {endpoint: "%s"}
  otlp_http/full: {endpoint: "%s", sending_queue: {sizer: bytes, queue_size: 1}}
service:
  pipelines:
"""
PIPELINE = """\
    %s/trial:
      receivers: [forward/backends]
      processors: [memory_limiter]
      exporters: [otlp_http/refusing, otlp_http/full]
"""


def named(program_name: str) -> set[str]:
    return {name for name in OTHERS if name.startswith(f"{program_name}_")}


def has(page: str, names: set[str]) -> bool:
    """Return whether a page of metrics has samples of all names, of the type that the rules assume."""
    return all(
        f"# TYPE {name} {OTHERS[name]}\n" in page and (f"\n{name}{{" in page or f"\n{name} " in page)
        for name in names
    )


def metrics(url: str) -> str:
    with urlopen(f"{url}/metrics", timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
    return text


def test_prometheus_and_alertmanager(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have all that rules ask of them before anything has failed."""
    monkeypatch.setenv("TEST_ALERTMANAGER", str(program("alertmanager")))
    with RunningAlertmanager("http://127.0.0.1:9/") as alertmanager:
        with receiving(alertmanager=alertmanager.url.removeprefix("http://")) as prometheus:
            until(lambda: has(metrics(prometheus.url), named("prometheus")), what="metrics of Prometheus")
            page = metrics(prometheus.url)
            assert 'rule_evaluation_failures_total{rule_group="' in page
            assert 'notifications_errors_total{alertmanager="' in page
        assert has(metrics(alertmanager.url), named("alertmanager"))
        assert 'notifications_failed_total{integration="webhook"' in metrics(alertmanager.url)


def test_collector(tmp_path: Path) -> None:
    """With a backend that refuses, and a queue that is full, it has all that rules ask of it."""
    messages: tuple[tuple[str, Callable[[], Request]], ...] = (
        ("traces", lambda: traces(span(is_error=True))),
        ("metrics", lambda: counter("analysis.runs", 1)),
        ("logs", lambda: logs(LogRecord(severity_text="ERROR"))),
    )
    layer = tmp_path / "backends.yaml"
    with Prometheus(program=program("prometheus")) as refusing:
        backends = BACKENDS % (refusing.url, refusing.url)
        layer.write_text(backends + "".join(PIPELINE % signal for signal, _ in messages))
        with RunningCollector(tmp_path, *BASE, str(layer)) as collector:
            for signal, message in messages:
                with suppress(HTTPError):  # what does not fit into a queue is refused
                    collector.send(signal, message())
            until(lambda: has(collector.metrics(), named("otelcol")), what="its metrics")
            lines = collector.metrics().splitlines()
            assert all('exporter="' in line for line in lines if line.startswith("otelcol_exporter_"))
            assert all('receiver="' in line for line in lines if line.startswith("otelcol_receiver_"))
