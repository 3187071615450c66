"""Every query of a panel is understood by a real Prometheus, and finds what an application exports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from exporters.alert_rules.groups import groups
from exporters.metrics.listener import Listener
from telemetry import conventions as c
from telemetry.settings import Settings
from tests.every_metric import give_values
from tests.grafana.dashboards import Target, each_dashboard, targets, variables
from tests.prometheus import Prometheus
from tests.waiting import until

JOB = "ours"
"""The job of all that the test's Prometheus scrapes."""
OTHERS = re.compile(r"\b(?:otelcol_|ALERTS|gen_ai_client_)")
"""Series of other programs, which do not run here."""
RECORDED = {recording.name for group in groups(Settings()) for recording in group.recordings}


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    """A Prometheus that has scraped an application in which every metric has a value."""
    listener, provider = Listener(Settings(metrics_port=0), lambda _: None), MeterProvider()
    listener.register(provider)
    give_values(provider)
    listener.start()
    assert listener.port is not None
    with Prometheus(listener.port) as running:
        running.wait_for(f"count_over_time({c.RUNS.prometheus_name}[30s]) > 3")
        yield running
    listener.stop()
    provider.shutdown()


def expanded(expression: str) -> str:
    """Return an expression as Grafana sends it."""
    values = {"$__rate_interval": "30s", "$__range": "30s", "$job": JOB}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def found(prometheus: Prometheus, expression: str) -> list[dict[str, Any]]:
    return prometheus.query(expanded(expression))


EXPRESSIONS = [target for target in targets() if target.expression]


@pytest.mark.parametrize("target", EXPRESSIONS, ids=lambda target: target.name)
def test_each_query_is_understood(prometheus: Prometheus, target: Target) -> None:
    """D25: and those that read our metrics find them."""
    found(prometheus, target.expression)  # an error of syntax is an error of HTTP
    is_ours = not OTHERS.search(target.expression) and not any(name in target.expression for name in RECORDED)
    needs_growth = target.expression.endswith("> 0")
    if is_ours and not needs_growth:
        until(lambda: found(prometheus, target.expression), what=target.name)  # a scrape may have been late


def test_marks_and_applications_are_understood(prometheus: Prometheus) -> None:
    """The annotation, and the list of applications."""
    for dashboard in each_dashboard():
        (marks,) = dashboard["annotations"]["list"]
        assert found(prometheus, marks["expr"]) == []
        if "job" not in variables(dashboard):
            continue
        query = variables(dashboard)["job"]["query"]["query"]
        (metric,) = re.fullmatch(r"label_values\((\w+), job\)", query).groups()  # type: ignore[union-attr]
        assert {each["metric"]["job"] for each in found(prometheus, metric)} == {JOB}
