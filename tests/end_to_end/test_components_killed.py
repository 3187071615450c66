"""Every component in turn is killed by SIGKILL while analyses run, and returns on its ports and folders.

Afterwards SQL and the counters in Prometheus have the figures of the stand-in's ledger, to the last digit, and
no series has a gap longer than the outage. What a kill may cost is in docs/explanation/kills.md.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from telemetry import conventions as c
from tests.alertmanager import RunningAlertmanager
from tests.end_to_end.conftest import prepare
from tests.end_to_end.documents import resume
from tests.end_to_end.killing import (
    IN_REQUEST,
    IN_WORKER,
    LONGEST_RETRY,
    Analyses,
    Component,
    KillableStandIn,
    Timeline,
    children,
    killed,
    spans,
)
from tests.end_to_end.observed import Observed, observed
from tests.end_to_end.spent import Spent
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft
from tests.notifications.shipped import receiving
from tests.postgres import TemporaryPostgres, free_port
from tests.receivers import Webhook
from tests.tools import program
from tests.waiting import until

RATE_LIMITS: list[dict[str, Any]] = [
    {"match": {"task": "rank"}, "status": 429, "rate": 0.2, "retry_after_ms": 5}
]
SETTINGS = {
    "SCREENER_REQUEST_LIMIT": str(IN_REQUEST),
    "SCREENER_CONCURRENCY": "32",
    "TELEMETRY_CHECKPOINT_SECONDS": "0.2",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "120",
}
PROCESSES = 3
"""Two web workers, and the worker."""
CRITERIA = 4
RULES = """\
groups:
  - name: of our own
    interval: 1s
    rules:
      - alert: JobsWait
        expr: sum(analysis_jobs_waiting{job="screener"}) > 0
        labels: {severity: critical, service: screener}
      - alert: KnownBefore
        expr: vector(1)
        labels: {severity: critical, service: screener}
      - alert: Silenced
        expr: vector(1)
        labels: {severity: critical, service: screener}
"""


@dataclass(frozen=True)
class System:
    """All components, and what is received by whom is on call."""

    observed: Observed
    standin: KillableStandIn
    postgres: TemporaryPostgres
    alertmanager: RunningAlertmanager
    hook: Webhook

    @property
    def stack(self) -> Stack:
        return self.observed.stack

    def component(self, name: str) -> Component:
        components: dict[str, Component] = {
            "collector": self.observed.collector,
            "prometheus": self.observed.prometheus,
            "jaeger": self.observed.jaeger,
            "postgresql": self.postgres,
        }
        return components[name]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The observed application with components of its own."""
    folder = tmp_path_factory.mktemp("killed")
    rules = folder / "own.yml"
    rules.write_text(RULES)
    with (
        TemporaryPostgres() as postgres,
        KillableStandIn(free_port()) as standin,
        Webhook() as hook,
        RunningAlertmanager(
            hook.url,
            configuration=receiving("0s"),
            program=program("alertmanager"),
            arguments=("--data.maintenance-interval=1s",),
        ) as alertmanager,
    ):
        url = postgres.create_database()
        prepare(url)
        places = {"alertmanager": alertmanager.place, "own_rules": rules}
        with observed(folder, url, standin, **places, **SETTINGS) as system:
            system.stack.web()
            system.stack.worker()
            yield System(system, standin, postgres, alertmanager, hook)


@dataclass(frozen=True)
class Watch:
    """What happens from a moment of rest on."""

    spent: Spent
    timeline: Timeline


@pytest.fixture
def watch(running: System) -> Watch:
    """Begins when nothing is under way, and everything before was exported."""
    running.standin.faults(RATE_LIMITS)
    running.stack.settle()
    timeline = Timeline(running.observed, PROCESSES)
    return Watch(Spent(running.observed, running.standin.lines), timeline)


@pytest.mark.parametrize("name", ["collector", "prometheus", "jaeger", "postgresql"])
def test_a_backend_is_killed(running: System, watch: Watch, name: str) -> None:
    """Nothing is lost; without a database analyses fail, with everything that they have spent."""
    is_database = name == "postgresql"
    with Analyses(running.stack) as analyses:
        analyses.one_more()
        with killed(running.component(name)) as outage:
            analyses.one_more(completed=not is_database)
        analyses.one_more()
    assert is_database or not analyses.failed

    running.stack.settle()
    assert watch.spent.in_sql() == watch.spent.in_ledger()
    until(lambda: watch.spent.in_prometheus() == watch.spent.in_sql(), what="the last export")
    retry = LONGEST_RETRY if name == "collector" else 0
    assert max(watch.timeline.gaps(outage)) <= retry
    if name != "collector":
        assert watch.timeline.during(outage) > 0
