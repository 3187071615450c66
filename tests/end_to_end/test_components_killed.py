"""Every component in turn is killed by SIGKILL while analyses run, and returns on its ports and folders.

Afterwards SQL and the counters in Prometheus have the figures of the stand-in's ledger, to the last digit,
and no series has a gap longer than the outage. docs/explanation/kills.md says what is promised.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from tests.alertmanager import RunningAlertmanager
from tests.end_to_end.conftest import prepare
from tests.end_to_end.documents import resume
from tests.end_to_end.killing import (
    IN_REQUEST,
    IN_WORKER,
    LONGEST_RETRY,
    Analyses,
    Component,
    Gunicorn,
    KillableStandIn,
    Timeline,
    WebWorker,
    WorkerProcess,
    calls,
    killed,
    without_worker,
)
from tests.end_to_end.observed import Observed, observed
from tests.end_to_end.spent import Spent
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft, submit
from tests.notifications.shipped import hurried, receiving
from tests.postgres import TemporaryPostgres, free_port
from tests.receivers import Webhook
from tests.tools import program
from tests.waiting import NotInTime, until

RATE_LIMITS: list[dict[str, Any]] = [
    {"match": {"task": "rank"}, "status": 429, "rate": 0.2, "retry_after_ms": 5}
]
SETTINGS = {
    "SCREENER_REQUEST_LIMIT": str(IN_REQUEST),
    "SCREENER_CONCURRENCY": "32",
    "TELEMETRY_CHECKPOINT_SECONDS": "0.2",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "120",
}
FLAGS = ("--rules.alert.resend-delay=2s",)
"""Prometheus repeats alerts every minute, unless told otherwise."""
HANGS = 2
"""The number of a résumé whose ratings are answered late or never."""
HANGING = [{"match": {"task": "rank", "contains": f"Reference {HANGS}\n"}, "delay_ms": 45_000}]
PROCESSES = 3
"""Two web workers, and the worker."""
CRITERIA = 4
OWN_RULES = ("KnownBefore", "JobsWait", "Silenced")
RULES = """\
groups:
  - name: of our own
    interval: 1s
    rules:
      - alert: KnownBefore
        expr: vector(1)
        labels: {severity: critical, service: screener}
      - alert: JobsWait
        expr: max(analysis_jobs_waiting{job="screener"}) > 0
        labels: {severity: critical, service: screener}
      - alert: Silenced
        expr: max(analysis_jobs_waiting{job="screener"}) > 0
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

    def sent(self) -> list[tuple[str, str]]:
        """Return name and status of every alert that was sent, in order, but for those of our own rules."""
        every = [
            (one["labels"]["alertname"], one["status"]) for body in self.hook.bodies for one in body["alerts"]
        ]
        return [one for one in every if one[0] in OWN_RULES]

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
            configuration=hurried(receiving(), "0s"),
            program=program("alertmanager"),
            arguments=("--data.maintenance-interval=1s",),
        ) as alertmanager,
    ):
        url = postgres.create_database()
        prepare(url)
        places = {"alertmanager": alertmanager.place, "own_rules": str(rules)}
        with observed(folder, url, standin, *FLAGS, **places, **SETTINGS) as system:
            system.stack.web()
            system.stack.worker()
            yield System(system, standin, postgres, alertmanager, hook)


@dataclass(frozen=True)
class Watch:
    """What happens from a moment of rest on."""

    began: float
    spent: Spent
    timeline: Timeline


@pytest.fixture
def watch(running: System) -> Watch:
    """Begins when nothing is under way, and everything before was exported."""
    running.standin.faults(RATE_LIMITS)
    running.stack.settle()
    began, timeline = time.time(), Timeline(running.observed, PROCESSES)
    return Watch(began, Spent(running.observed, running.standin.lines), timeline)


@pytest.mark.parametrize("name", ["collector", "prometheus", "jaeger", "postgresql"])
def test_a_backend_is_killed(running: System, watch: Watch, name: str) -> None:
    """Nothing is lost; without a database analyses fail, with everything that they have spent."""
    is_database = name == "postgresql"
    with Analyses(running.stack) as analyses:
        analyses.one_more()
        with killed(running.component(name)) as outage:
            analyses.one_more(completed=not is_database)
            if name != "collector":
                _until_exported(running.observed)
        analyses.one_more()
    assert is_database or not analyses.failed

    running.stack.settle()
    assert watch.spent.in_sql() == watch.spent.in_ledger()
    _assert_counted(watch)
    retry = LONGEST_RETRY if name == "collector" else 0
    assert max(watch.timeline.gaps(outage)) <= retry
    if name != "collector":
        assert watch.timeline.during(outage) > 0
    _assert_traces(running.observed, since=outage.began if name == "collector" else watch.began)


def test_what_an_ended_process_counted_waits_on_the_disk(running: System, watch: Watch) -> None:
    """The Collector has taken its last export while Prometheus was away; then it is killed, too."""
    stack = running.stack
    with killed(running.observed.prometheus):
        submit(stack.client(), [resume(number).file for number in range(900, 900 + IN_WORKER)])
        with without_worker(stack), killed(running.observed.collector):
            pass

    stack.settle()
    assert watch.spent.in_sql() == watch.spent.in_ledger()
    _assert_counted(watch)


def test_alertmanager_is_killed(running: System, watch: Watch) -> None:
    """What began meanwhile is sent once; what was sent before is not sent again, and silences hold."""
    stack, alertmanager = running.stack, running.alertmanager
    # Where Prometheus was away for long in another test, the alert has been resolved and raised again.
    until(lambda: running.sent()[-1:] == [("KnownBefore", "firing")], what="the first alert")
    before = len(running.sent())
    alertmanager.silence("Silenced")
    until(lambda: b"KnownBefore" in alertmanager.kept("nflog"), what="its record on disk")
    until(lambda: b"Silenced" in alertmanager.kept("silences"), what="the silence on disk")
    with without_worker(stack):
        with killed(alertmanager):
            client = stack.client()
            client.start(draft(client, [resume(number).file for number in range(950, 950 + IN_WORKER)]))
            firing = 'ALERTS{alertname="JobsWait", alertstate="firing"}'
            until(lambda: running.observed.prometheus.query(firing), what="the alert")
        until(lambda: ("JobsWait", "firing") in running.sent()[before:], what="the alert is sent")
        until(lambda: {*OWN_RULES} <= _active(alertmanager), what="it knows all of them again")
    until(lambda: ("JobsWait", "resolved") in running.sent()[before:], what="it is resolved")
    assert running.sent()[before:] == [("JobsWait", "firing"), ("JobsWait", "resolved")]
    stack.settle()
    assert watch.spent.in_sql() == watch.spent.in_ledger()


def test_the_service_is_killed(running: System, watch: Watch) -> None:
    """Calls whose connection broke are made again; what they may have cost is marked as unknown."""
    stack = running.stack
    running.standin.faults(HANGING)
    analysis = _begin_in_worker(running, watch)
    with killed(running.standin) as outage:
        pass

    stack.settle()
    broken = _unanswered(watch)
    expected, in_sql = watch.spent.in_ledger(without=broken), watch.spent.in_sql()
    for name in ("rate_limit_hits", "input_tokens", "output_tokens", "cached_tokens", "cost_pico"):
        assert getattr(in_sql, name) == getattr(expected, name), name
    assert in_sql.calls - in_sql.errors == expected.calls
    _assert_counted(watch)
    (run,) = stack.sql.runs(analysis, kind="analysis")
    assert run["status"] == "completed"
    assert (run["usage_missing"], run["cost_complete"]) == (len(broken), False)
    assert max(watch.timeline.gaps(outage)) <= 0


def test_the_worker_is_killed(running: System, watch: Watch) -> None:
    """Its run has everything that was answered, and as unfinished what was under way; no count is lost."""
    running.standin.faults(HANGING)
    analysis = _begin_in_worker(running, watch)
    with killed(WorkerProcess(running.stack)) as outage:
        pass

    _assert_interrupted(running, watch, analysis)
    assert max(watch.timeline.gaps(outage)) <= 0


def test_a_web_worker_is_killed(running: System, watch: Watch) -> None:
    """So does the run of the request that it was in; gunicorn replaces it."""
    stack = running.stack
    running.standin.faults(HANGING)
    client = stack.client()
    number = draft(client, [resume(number).file for number in (HANGS, HANGS + 1)])
    with ThreadPoolExecutor() as pool:
        request = pool.submit(client.start, number)
        analysis = _until_only_those_hang(running, watch, answered=1 + CRITERIA)
        owner = stack.sql.value("SELECT owner FROM jobs WHERE analysis_id = :id", id=analysis)
        with killed(WebWorker(stack, int(owner.rpartition(":")[2]))) as outage:
            with pytest.raises(requests.ConnectionError):
                request.result()

    _assert_interrupted(running, watch, analysis)
    assert max(watch.timeline.gaps(outage)) <= 0


def test_gunicorn_is_killed(running: System, watch: Watch) -> None:
    """Its workers finish what they do, and export a last time, while another gunicorn works already."""
    stack = running.stack
    running.standin.faults([{**HANGING[0], "delay_ms": 5_000}])
    client = stack.client()
    number = draft(client, [resume(number).file for number in (HANGS, HANGS + 1)])
    with ThreadPoolExecutor() as pool:
        request = pool.submit(client.start, number)
        _until_only_those_hang(running, watch, answered=1 + CRITERIA)
        with killed(Gunicorn(stack)) as outage:
            assert request.result()["state"] == "completed"

    stack.settle()
    assert watch.spent.in_sql() == watch.spent.in_ledger()
    _assert_counted(watch)
    assert max(watch.timeline.gaps(outage)) <= 0


def test_web_workers_are_replaced_after_some_requests(running: System, watch: Watch) -> None:
    """Gunicorn's `--max-requests` ends a worker every few requests; none of them loses anything."""
    stack = running.stack
    stack.processes["web"].stop()
    replaced = "Autorestarting worker"
    before = stack.web("--max-requests", "4").text().count(replaced)
    try:
        with Analyses(stack) as analyses:
            analyses.one_more()
            analyses.one_more()
        assert not analyses.failed
    finally:
        stack.processes["web"].stop()
        stack.web()

    stack.settle()
    assert stack.processes["web"].text().count(replaced) > before
    assert watch.spent.in_sql() == watch.spent.in_ledger()
    _assert_counted(watch)


def _until_exported(system: Observed) -> None:
    """Wait for more exports than there are processes, so that one was begun and has arrived since now."""

    def accepted() -> float:
        name = "otelcol_receiver_accepted_metric_points_total"
        lines = system.collector.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    seen = [accepted()]

    def is_enough() -> bool:
        if (now := accepted()) > seen[-1]:
            seen.append(now)
        return len(seen) > PROCESSES + 1

    until(is_enough, what="exports")


def _assert_counted(watch: Watch) -> None:
    """Prometheus gets what SQL has, to the last digit."""
    with suppress(NotInTime):  # the comparison shows what is missing
        until(lambda: watch.spent.in_prometheus() == watch.spent.in_sql(), what="the last export")
    assert watch.spent.in_prometheus() == watch.spent.in_sql()


def _assert_traces(system: Observed, since: float) -> None:
    """Jaeger has every call of the analyses that began since a time, once."""
    began = datetime.fromtimestamp(since, UTC).replace(tzinfo=None)
    runs = system.stack.sql.rows(
        "SELECT trace_id, api_calls FROM telemetry_runs WHERE kind = 'analysis' AND started_at > :began",
        began=began,
    )
    assert runs
    expected = {run["trace_id"]: run["api_calls"] for run in runs}
    traces = until(lambda: _whole(system, expected), what="all spans")
    assert {trace_id: len(ids) for trace_id, ids in traces.items()} == expected
    assert all(len(ids) == len(set(ids)) for ids in traces.values())


def _whole(system: Observed, expected: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the ids of the calls of all traces once each has at least as many as expected."""
    traces = {trace_id: calls(system, trace_id) for trace_id in expected}
    return traces if all(len(traces[trace_id]) >= number for trace_id, number in expected.items()) else {}


def _begin_in_worker(running: System, watch: Watch) -> int:
    """Begin an analysis in the worker, and wait until all calls are answered but those that hang."""
    client = running.stack.client()
    files = [resume(number).file for number in range(HANGS, HANGS + IN_WORKER)]
    client.start(draft(client, files))
    return _until_only_those_hang(running, watch, answered=1 + CRITERIA * (IN_WORKER - 1))


def _until_only_those_hang(running: System, watch: Watch, answered: int) -> int:
    """Wait until SQL and Prometheus have all calls that are answered; return the analysis."""
    known = "SELECT analysis_ref FROM telemetry_runs WHERE status = 'running' AND api_calls = :calls"
    rows = until(lambda: running.stack.sql.rows(known, calls=answered), 120, what="a checkpoint with all")
    until(lambda: len(_unanswered(watch)) == CRITERIA, what="the calls that hang")
    expected = watch.spent.in_ledger(without=_unanswered(watch))
    until(lambda: watch.spent.in_prometheus() == expected, what="an export of all")
    assert watch.spent.in_sql() == expected
    analysis: int = rows[0]["analysis_ref"]
    return analysis


def _unanswered(watch: Watch) -> set[int]:
    """Return the numbers of the lines whose answers are late."""
    return {line["seq"] for line in watch.spent.lines() if line["delay_ms"]}


def _assert_interrupted(running: System, watch: Watch, analysis: int) -> None:
    """An analysis lacks the calls that were under way, and nothing else."""
    stack = running.stack
    stack.settle()
    assert watch.spent.in_sql() == watch.spent.in_ledger(without=_unanswered(watch))
    _assert_counted(watch)
    (run,) = stack.sql.runs(analysis, kind="analysis")
    assert (run["status"], run["unfinished"], run["cost_complete"]) == ("interrupted", CRITERIA, False)


def _active(alertmanager: RunningAlertmanager) -> set[str]:
    """Return the names of the alerts that it knows."""
    return {alert["labels"]["alertname"] for alert in alertmanager.alerts()}
