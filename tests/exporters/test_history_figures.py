"""Figures of imported analyses: what nobody recorded is unknown, and neither a success nor $0.00."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy.engine import Engine

from exporters.sql.projection.host_rows import HostRows
from exporters.sql.storage import runs as run_storage
from telemetry.cli.group import cli
from tests.exporters.makers import KEY, SECOND, SOME_HOSTS, Fragment, Host, call, failed_call

HOSTS = SOME_HOSTS

NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
UNTIL_TOMORROW = ("--days", "60")


def command(host: Host, *arguments: str) -> Result:
    environment = {"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_HMAC_KEY": "key"}
    return CliRunner().invoke(cli, arguments, env=environment)


def output(host: Host, *arguments: str) -> str:
    done = command(host, *arguments)
    assert done.exit_code == 0, done.output
    return done.output


def figures(host: Host) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(output(host, "report", *UNTIL_TOMORROW, "--json"))
    return report


@pytest.fixture
def old(host: Host) -> Host:
    """Four analyses of two users: two have an end, one never ended, one failed without a trace."""
    for user in (1, 2):
        host.add_user(user)
    for row, user in ((1, 1), (2, 1), (3, 1), (4, 2)):
        host.add_analysis(row, user, created_at=NOW - timedelta(days=40))
    host.execute("UPDATE analyses SET num_candidates = 10, num_criteria = 4")
    ended = {"ended": NOW - timedelta(days=40) + timedelta(seconds=90)}
    host.execute("UPDATE analyses SET completed_at = :ended WHERE id < 3", **ended)
    return host


@pytest.fixture
def history(old: Host) -> Host:
    """The same after they were imported."""
    assert "4 analyses imported, 2 users" in output(old, "import-history")
    return old


def add_work(host: Host, engine: Engine) -> None:
    """Add an analysis that telemetry observed to fail, and one that succeeded for two dollars."""
    for row, status, calls in ((11, "completed", [call(pico=2 * 10**12)]), (12, "failed", [failed_call()])):
        host.add_analysis(row, 2, created_at=NOW - timedelta(hours=2))
        start = int((NOW - timedelta(hours=2)).replace(tzinfo=UTC).timestamp()) * SECOND
        run = Fragment(analysis_id=row, user_id=2, opened_at=start, candidates=5).calls(*calls)
        run_storage.deliver(engine, run.close(status))
        HostRows(engine, KEY).project_analysis(row)
    HostRows(engine, KEY).project_user(2)


def test_a_report_of_imported_jobs_has_no_rates_or_costs(history: Host) -> None:
    """Success rate, health and amounts of money are null, not 0."""
    report = figures(history)

    assert (report["jobs"], report["completed"], report["failed"], report["unknown"]) == (4, 2, 0, 2)
    assert (report["success_rate"], report["health_score"]) == (None, None)
    assert report["cost"] == {"pico": 0, "dollars": None, "complete": False}
    assert (report["cost_per_job"], report["cost_per_candidate"]) == (None, None)
    (week,) = [week for week in report["periods"] if week["jobs"]]
    assert (week["jobs"], week["cost"]["dollars"]) == (4, None)
    assert {week["cost"]["dollars"] for week in report["periods"] if not week["jobs"]} == {"0"}
    assert {user["cost"]["dollars"] for user in report["active_users"]} == {None}
    for job in report["latest"]:
        assert (job["cost"]["dollars"], job["calls"], job["done"]) == (None, None, None)


def test_the_report_page_calls_unknown_figures_unknown(history: Host) -> None:
    """It shows no rate and no sum that nobody knows."""
    page = " ".join(output(history, "report", *UNTIL_TOMORROW).replace("│", " ").split())

    assert "100%" not in page
    assert "succeeded 2 (–)" in page
    assert "ending unknown 2" in page
    assert "spent unknown" in page


def test_imported_jobs_do_not_dilute_observed_ones(history: Host, engine: Engine) -> None:
    """Rates and means are those of the jobs that telemetry observed; the sum is a lower bound."""
    add_work(history, engine)
    report = figures(history)

    assert (report["jobs"], report["completed"], report["failed"], report["unknown"]) == (6, 3, 1, 2)
    assert report["success_rate"] == 0.5
    assert report["cost"] == {"pico": 2 * 10**12, "dollars": "2", "complete": False}
    assert (float(report["cost_per_job"]), float(report["cost_per_candidate"])) == (1.0, 0.4)
    assert {user["user"]: user["cost"]["dollars"] for user in report["active_users"]} == {1: None, 2: "2"}


def test_no_jobs_at_all_cost_nothing(host: Host, engine: Engine) -> None:
    """Then the cost is 0, and known to be complete."""
    report = figures(host)

    assert (report["jobs"], report["cost"]) == (0, {"pico": 0, "dollars": "0", "complete": True})


def test_the_daily_log_counts_unknown_endings(history: Host) -> None:
    """A day of imported jobs has no sum of money."""
    day, following = (f"{(NOW - timedelta(days=days)).date()}" for days in (40, 39))
    shown = output(history, "health-check", "--since", day, "--until", following)
    (line,) = [line for line in shown.splitlines() if day in line]

    assert line.split()[:6] == [day, "2", "0", "2", "90.0", "unknown"]
    assert history.row("system_health_log")["total_api_spend"] is None


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_exports_leave_unknown_figures_empty(history: Host, form: str) -> None:
    """Figures that the host's row has are exported."""
    text = output(history, "export", "--format", form)
    rows: list[dict[str, Any]] = (
        list(csv.DictReader(io.StringIO(text)))
        if form == "csv"
        else [json.loads(line) for line in text.splitlines()]
    )

    assert sorted(row["status"] for row in rows) == ["completed", "completed", "unknown", "unknown"]
    for row in rows:
        for name in ("cost_pico", "cost_dollars", "api_calls", "input_tokens", "n_scored", "above_70"):
            assert row[name] in (None, ""), name
        assert row["candidates"] in (10, "10")


def test_tables_and_views_have_null_for_unknown_costs(history: Host, engine: Engine) -> None:
    """Once an observed run has a cost, it is summed."""
    assert {row["total_api_cost"] for row in history.rows("analyses")} == {None}
    assert {row["total_api_spend"] for row in history.rows("users")} == {None}
    queries = (
        "SELECT DISTINCT cost_pico FROM telemetry_run_spend",
        "SELECT cost_pico FROM telemetry_spend",
        "SELECT DISTINCT cost_pico FROM telemetry_analysis_spend",
        "SELECT DISTINCT cost_dollars FROM telemetry_user_segments",
        "SELECT DISTINCT cost_dollars FROM telemetry_jobs",
    )
    with history.engine.connect() as connection:
        assert [connection.execute(sa.text(query)).all() for query in queries] == [[(None,)]] * 5
    add_work(history, engine)
    assert float(history.row("users", id=2)["total_api_spend"]) == 2
    assert history.row("users", id=1)["total_api_spend"] is None


def test_new_runs_are_not_compared_with_imported_ones(host: Host, engine: Engine) -> None:
    """Imported jobs have no costs and no failures: that new ones do is no finding."""
    host.add_user()
    today = NOW.replace(hour=12) - timedelta(days=1)
    for week in range(1, 5):
        for number in range(6):
            at = today - timedelta(days=7 * week)
            host.add_analysis(100 * week + number, created_at=at)
            host.execute("UPDATE analyses SET completed_at = :at WHERE created_at = :at", at=at)
    output(host, "import-history")
    for number in range(6):
        start = int(today.replace(tzinfo=UTC).timestamp()) * SECOND
        run = Fragment(user_id=1, opened_at=start, candidates=1).calls(call(pico=10**12))
        run_storage.deliver(engine, run.close("failed" if number < 3 else "completed"))

    names = [json.loads(line)["name"] for line in command(host, "insights", "--json").output.splitlines()]

    assert not {"cost", "errors"} & set(names)
