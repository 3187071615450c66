"""Panels show what the whole system did: two gunicorn workers, the worker, the Collector, Prometheus.

Every query in PromQL finds something, unless there is a reason, which is checked as well. Money is the same
in panels, in the report, in the export, and in the stand-in's ledger.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.alert_rules.alerts.collector import SIGNALS
from exporters.sql.schema.roles import role_sql
from grafana.parts.expansion import Moment, expand
from telemetry import conventions as c
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import damaged, resumes
from tests.end_to_end.ledger import Line, by_stage, dollars, price, truth
from tests.end_to_end.observed import SERVICE, Observed, observed
from tests.end_to_end.processes import environment
from tests.end_to_end.submission import submit
from tests.grafana.dashboards import ALL, Target, sql_targets, targets
from tests.waiting import NotInTime, until

FAULTS: list[dict[str, Any]] = [
    {"match": {"task": "rank"}, "status": 429, "first_total": 3, "retry_after_ms": 5},
    {"match": {"task": "rank", "contains": "ada.2@"}, "status": 500, "retry_after_ms": 5},
]
SETTINGS = {
    "SCREENER_APP_RETRIES": "1",
    "SCREENER_REQUEST_LIMIT": "4",
    "SCREENER_RESUME_LIMIT": "6",
    "TELEMETRY_INTEGRITY_SECONDS": "2",
}
WINDOWS = {"$__rate_interval": "1h", "$__range": "1h", "$job": SERVICE}


@dataclass(frozen=True)
class Session:
    """What was done, and who observed it."""

    system: Observed
    reader: psycopg.Connection[tuple[Any, ...]]
    """In the role for dashboards."""
    lines: list[Line]
    """Of the ledger."""

    def found(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query in PromQL, as Grafana sends it."""
        for name, value in WINDOWS.items():
            expression = expression.replace(name, value)
        return self.system.prometheus.query(expression)

    def shown(self, uid: str, title: str) -> list[tuple[Any, ...]]:
        """Return the rows of a panel."""
        (target,) = [each for each in sql_targets() if (each.uid, each.panel["title"]) == (uid, title)]
        return self.reader.execute(expand(target.sql, Moment.last(7, ALL)).encode()).fetchall()

    def command(self, *words: str) -> str:
        """Return what a command of telemetry prints."""
        url = ("--database-url", self.system.stack.database_url)
        command = [sys.executable, "-m", "flask", "telemetry", *words, *url]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture(scope="module")
def session(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    """Analyses in requests and in the worker, with refused requests, a failed call and an override."""
    shared_standin.clear()
    shared_standin.faults(FAULTS)
    folder, url = tmp_path_factory.mktemp("dashboards"), new_database("postgresql")
    role = f"panels_{uuid.uuid4().hex[:12]}"
    plain = sa.make_url(url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as owner:
        owner.execute(role_sql(url, role).encode())
    reading = plain.set(username=role).render_as_string(hide_password=False)
    with observed(folder, url, shared_standin, **SETTINGS) as system, psycopg.connect(reading) as reader:
        stack = system.stack
        stack.web()
        stack.worker()
        system.wait_for_processes(3)
        client = stack.client()
        submit(client, [*(document.file for document in resumes(3)), damaged()])
        submit(client, [document.file for document in resumes(8, start=21)], override=True)
        stack.settle()
        made = Session(system, reader, shared_standin.ledger()["attempts"])
        made.command("health-check")
        attempts = "analysis_openai_attempts_total"
        until(lambda: system.counted(attempts) == len(made.lines), what="the last export")
        yield made


def _none_fires(session: Session) -> bool:
    firing = {one["metric"]["alertname"] for one in session.found('ALERTS{alertstate="firing"}')}
    return firing <= {"Watchdog"}


def _nothing_is_streamed(session: Session) -> bool:
    return not any(line.get("stream") for line in session.lines)


def _nothing_is_coerced(session: Session) -> bool:
    name = c.VALUES_COERCED.prometheus_name
    return session.system.series(name) == [] != session.system.series(c.INTERNAL_ERRORS.prometheus_name)


def _all_cost_is_known(name: str) -> Callable[[Session], bool]:
    """Return whether a gauge of runs whose cost is incomplete is 0."""
    return lambda session: bool(session.found(f"{name} == 0"))


def _nothing_is_lost(name: str) -> Callable[[Session], bool]:
    """Return whether the Collector has sent what it received, and has not counted any that failed."""

    def holds(session: Session) -> bool:
        sent = session.system.total("sum(otelcol_exporter_sent_metric_points_total)")
        return sent > 0 and not session.found(name)

    return holds


EMPTY: dict[str, tuple[str, Callable[[Session], bool]]] = {
    "analysis-overview: Alerts A": ("no alert fires", _none_fires),
    "analysis-cost: Budget left this month B": (
        "every cost is known",
        _all_cost_is_known("analysis_spend_month_incomplete_runs"),
    ),
    "analysis-cost: Spent today B": (
        "every cost is known",
        _all_cost_is_known("analysis_spend_today_incomplete_runs"),
    ),
    "analysis-performance: API latency and time to the first token B": (
        "the screener asks for whole answers",
        _nothing_is_streamed,
    ),
    "analysis-telemetry: Internal errors B": ("every value fits its column", _nothing_is_coerced),
    **{
        f"analysis-telemetry: Refused and failed in the Collector {letter}": (
            "the Collector counts a failure from the first one on",
            _nothing_is_lost(f"otelcol_{name}_{signal}_total"),
        )
        for letter, (name, signal) in zip(
            "ABCDEFGHI",
            product(("receiver_refused", "exporter_send_failed", "exporter_enqueue_failed"), SIGNALS),
            strict=True,
        )
    },
}
"""Queries that may find nothing here, why, and how to see that this is so."""


@pytest.mark.parametrize(
    "target", [target for target in targets() if target.expression], ids=lambda target: target.name
)
def test_each_query_finds_what_the_system_did(session: Session, target: Target) -> None:
    """D25: or there is a reason, and it holds."""
    known = EMPTY.get(target.name)
    if known and known[1](session):
        assert not session.found(target.expression)
        return
    with suppress(NotInTime):  # the assertion shows which one
        until(lambda: session.found(target.expression), what=target.name)
    assert session.found(target.expression), target.name


def test_money_is_the_same_everywhere(session: Session) -> None:
    """In the panel, the report, the export and the ledger, to the pico-dollar."""
    spent = dollars(truth(session.lines).cost_pico)
    ((cost, incomplete),) = session.shown("analysis-cost", "API cost")
    report = json.loads(session.command("report", "--json", "--days", "7"))
    exported = csv.DictReader(io.StringIO(session.command("export", "--format", "csv", "--days", "7")))
    in_jobs = sum(Decimal(job["cost_dollars"] or 0) for job in exported)

    assert cost == spent == Decimal(report["cost"]["dollars"]) > 0
    assert (incomplete == 0) is report["cost"]["complete"]
    before = dict(session.shown("analysis-cost", "What became of the money"))
    ((of_users,),) = session.reader.execute(
        b"SELECT sum(cost_pico) / 1e12 FROM telemetry_run_spend WHERE kind <> 'analysis'"
    ).fetchall()
    assert in_jobs + of_users == cost == sum(before.values())


def test_stages_cost_what_the_ledger_says(session: Session) -> None:
    """The ring of stages, each slice."""
    expected: dict[str, Decimal] = {}
    for (stage, _, _), sums in by_stage(session.lines).items():
        expected[stage] = expected.get(stage, Decimal(0)) + dollars(sums.cost_pico)
    shown = {
        name.removesuffix(" (lower bound)"): value
        for name, value in session.shown("analysis-cost", "Cost by stage")
    }
    assert shown == {stage: cost for stage, cost in expected.items() if cost}


def test_kinds_of_tokens_cost_what_the_price_list_says(session: Session) -> None:
    """Each line of the ledger is priced with its output alone, and with its cached input as other input."""
    billed = [line for line in session.lines if line["usage"]]
    no_input = dict.fromkeys(("input_tokens", "cached_tokens", "cache_write_tokens"), 0)
    output = sum(price({**line, "usage": {**line["usage"], **no_input}}) for line in billed)
    uncached = sum(price({**line, "usage": {**line["usage"], "cached_tokens": 0}}) for line in billed)
    shown = {
        name.removesuffix(" (lower bound)"): cost
        for name, cost in session.shown("analysis-cost", "Cost by kind of token")
    }
    ((saved, _, tokens, _),) = session.shown("analysis-cost", "Saved by cached input")

    assert shown["Output"] == dollars(output) > 0
    assert sum(shown.values()) == dollars(truth(session.lines).cost_pico)
    assert saved == dollars(uncached) - dollars(truth(session.lines).cost_pico)
    assert tokens == sum(line["usage"]["cached_tokens"] for line in billed)


def _all_is_known(session: Session) -> bool:
    """Return whether each answer in the ledger said what it used."""
    answers = [line for line in session.lines if line["status"] == 200]
    return all(line["usage"] for line in answers)


def _the_latest_went_well(session: Session) -> bool:
    query = b"SELECT error_count FROM telemetry_jobs ORDER BY started_at DESC LIMIT 1"
    return session.reader.execute(query).fetchall() == [(0,)]


EMPTY_SQL: dict[str, tuple[str, Callable[[Session], bool]]] = {
    "analysis-cost: What is not known A": ("the stand-in reports all usage", _all_is_known),
    "analysis-one: Errors A": ("the latest analysis had no error", _the_latest_went_well),
}


def test_queries_of_the_database_find_it_too(session: Session) -> None:
    """All but those that show what did not happen here."""
    empty = set()
    for target in sql_targets():
        rows = session.shown(target.uid, target.panel["title"])
        if not any(value is not None for row in rows for value in row):
            empty.add(target.name)
    assert empty == EMPTY_SQL.keys()
    assert all(holds(session) for _, holds in EMPTY_SQL.values())
