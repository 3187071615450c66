"""The gauges from SQL of a whole application: the ledger's figures, from one of its processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.screener.standin.client import StandIn
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import resumes
from tests.end_to_end.ledger import dollars, truth
from tests.end_to_end.processes import environment
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft, submit
from tests.waiting import until

RATE_LIMITED: list[dict[str, Any]] = [
    {"match": {"task": "rank"}, "status": 429, "first_total": 2, "retry_after_ms": 5}
]
SETTINGS = {
    "TELEMETRY_GAUGES_SECONDS": "1",
    "TELEMETRY_CHECKPOINT_SECONDS": "0.2",
    "SCREENER_REQUEST_LIMIT": "6",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_ledger_report_and_gauge_agree(
    database: str, new_database: NewDatabase, standin: StandIn, tmp_path: Path
) -> None:
    """What today cost is one figure, whoever is asked; and exactly one process is asked for the gauge."""
    standin.faults(RATE_LIMITED)
    url = new_database(database)
    with Stack(tmp_path, url, standin, **SETTINGS) as stack:
        stack.web()
        stack.worker()
        client = stack.client()
        submit(client, [document.file for document in resumes(4)])
        submit(client, [document.file for document in resumes(8, start=21)])
        stack.settle()
        expected = truth(standin.ledger()["attempts"])
        assert expected.cost_pico > 0 and expected.rate_limit_hits > 0

        cost = float(dollars(expected.cost_pico))
        until(lambda: _total(stack, "analysis_spend_today_usd") == cost, what="the gauge has the cost")
        until(lambda: _total(stack, "telemetry_gauges_exporter") == 1, what="one exports")
        until(lambda: _total(stack, "analysis_spend_month_usd") == cost, what="the month's is the same")
        limited = stack.sql.rows("SELECT COUNT(*) AS jobs FROM telemetry_jobs WHERE rate_limit_hits > 0")[0][
            "jobs"
        ]
        until(
            lambda: _total(stack, "analysis_rate_limited_jobs_today") == limited, what="its jobs are counted"
        )
    report = _report(url)
    assert report["cost"]["pico"] == expected.cost_pico
    assert report["cost"]["complete"] is True


def test_a_job_is_on_budget_while_it_runs(
    new_database: NewDatabase, standin: StandIn, tmp_path: Path
) -> None:
    """With an empty history, spend of a job under way is there within moments, and so is the queue."""
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 1500}])
    with Stack(tmp_path, new_database("sqlite"), standin, **SETTINGS, SCREENER_CONCURRENCY="2") as stack:
        stack.web()
        client = stack.client()
        analysis = client.start(draft(client, [document.file for document in resumes(20)]))["analysis"]
        until(lambda: _total(stack, "analysis_jobs_waiting") == 1, what="the job waits")
        stack.worker()
        until(lambda: _total(stack, "analysis_spend_largest_job_usd") > 0, what="its cost is known")
        assert client.status(analysis)["state"] == "running"
        assert _total(stack, "analysis_spend_today_usd") > 0
        until(lambda: _total(stack, "analysis_spend_today_incomplete_runs") >= 1, what="it is a lower bound")
        until(lambda: _total(stack, "analysis_jobs_waiting") == 0, what="no job waits")


def _total(stack: Stack, name: str) -> float:
    return stack.metrics().total(name)


def _report(url: str) -> Any:
    command = [sys.executable, "-m", "flask", "telemetry", "report", "--json", "--days", "1"]
    done = subprocess.run(
        [*command, "--database-url", url], env=environment(), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
