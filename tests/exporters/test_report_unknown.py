"""What a report cannot know: documents of runs without an end, endings, users, and foreign runs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from exporters.sql.projection.host_rows import HostRows
from exporters.sql.storage import interruptions
from exporters.sql.storage import runs as run_storage
from telemetry.cli.group import cli
from tests.exporters.makers import KEY, SECOND, Fragment, Host, call, failed_call, moment, visit

HOSTS = ("sqlite", "newest")

NOW = int(datetime.now(UTC).timestamp()) * SECOND
MINUTE = 60 * SECOND
ENDINGS = ("completed", "partial_failures", "failed", "interrupted", "cancelled", "running", "unknown")


def flask(host: Host, *words: str) -> str:
    done = CliRunner().invoke(cli, words, env={"TELEMETRY_DATABASE_URL": host.url})
    assert done.exit_code == 0, done.output
    return done.output


def as_json(host: Host, *options: str) -> Any:
    return json.loads(flask(host, "report", "--json", *options))


def deliver(engine: Engine, *snapshots: Any) -> None:
    for snapshot in snapshots:
        run_storage.deliver(engine, snapshot)


def deliver_run(engine: Engine, ending: str | None, **known: Any) -> None:
    """Deliver a run of 60 candidates, of which 2 were scored; without an ending it is under way."""
    fragment = Fragment(**{"opened_at": NOW - MINUTE, "candidates": 60, **known})
    fragment.calls(*[call(pico=10**12) for _ in range(3)])
    fragment.documents(visit("a.pdf", characters=700, score=0.9), visit("b.pdf", characters=900, score=0.3))
    if ending == "partial_failure":  # which follows from its documents
        fragment.documents(visit("c.pdf", error_type="ValueError"))
        ending = "completed"
    deliver(engine, fragment.snapshot() if ending is None else fragment.close(ending))


def kill(engine: Engine) -> None:
    """Interrupt every run that is under way, as if its process had died."""
    assert interruptions.interrupt_stale(engine, timedelta(0))


def exported(host: Host) -> Any:
    return json.loads(flask(host, "export", "--format", "json"))


UNKNOWN = (
    *("n_documents", "n_scored", "n_failed", "n_duplicates", "resume_characters", "score_avg"),
    *("above_70", "from_50_to_70", "below_50"),
)


@pytest.mark.parametrize("is_dead", [False, True])
def test_documents_of_a_run_without_an_end_are_unknown(host: Host, engine: Engine, is_dead: bool) -> None:
    """They are unknown on the page, in JSON and in exports; the number of candidates is known."""
    deliver_run(engine, None)
    if is_dead:
        kill(engine)
    (job,) = as_json(host)["latest"]
    assert (job["status"], job["calls"]) == ("interrupted" if is_dead else "running", 3)
    assert (job["done"], job["candidates"], job["score"]) == (None, 60, None)
    assert re.search(rf" {job['status']} .* \? +60 ", flask(host, "report"))
    (row,) = exported(host)
    assert {name: row[name] for name in UNKNOWN} == dict.fromkeys(UNKNOWN)


@pytest.mark.parametrize("is_dead", [False, True])
def test_documents_of_a_run_with_an_open_fragment_are_unknown(
    host: Host, engine: Engine, is_dead: bool
) -> None:
    """One process delivered its documents, the other did not: a part is no total."""
    root = Fragment("a" * 32, opened_at=NOW - 2 * MINUTE, is_root=True)
    root.calls(call()).documents(*[visit(f"{number}.pdf", score=0.8) for number in range(15)])
    worker = Fragment("a" * 32, opened_at=NOW - MINUTE).calls(call())
    deliver(engine, root.close(ends_run=False), worker.snapshot())
    if is_dead:
        kill(engine)
    (job,) = as_json(host)["latest"]
    assert (job["done"], job["candidates"], job["score"]) == (None, None, None)
    (row,) = exported(host)
    assert {row[name] for name in UNKNOWN} == {None}


def test_documents_of_a_run_closed_as_interrupted_are_known(host: Host, engine: Engine) -> None:
    """Its final snapshot holds them: an interruption alone makes nothing unknown."""
    deliver_run(engine, "interrupted")
    (job,) = as_json(host)["latest"]
    assert (job["done"], job["candidates"], job["score"]) == (2, 60, 0.6)
    assert exported(host)[0]["n_documents"] == 2


def test_averages_leave_out_runs_with_unknown_documents(host: Host, engine: Engine) -> None:
    """So do the sums of documents."""
    deliver_run(engine, "completed")
    root = Fragment("a" * 32, opened_at=NOW - 2 * MINUTE, is_root=True).calls(call())
    root.documents(visit("c.pdf", characters=10_000, score=0.1))
    worker = Fragment("a" * 32, opened_at=NOW - MINUTE).calls(call())
    deliver(engine, root.close(ends_run=False), worker.snapshot())
    kill(engine)
    assert as_json(host)["resume_characters"] == {"mean": 800, "least": 700, "most": 900}
    spent = {row["spend_class"]: row for row in host_spend(host)}
    assert [spent[name]["failed_documents"] for name in ("useful", "interrupted")] == [0, None]


def host_spend(host: Host) -> list[dict[str, Any]]:
    with host.engine.connect() as connection:
        result = connection.exec_driver_sql("SELECT spend_class, failed_documents FROM telemetry_spend")
        return [dict(row) for row in result.mappings()]


def test_the_hosts_row_has_no_score_bands_for_unknown_documents(host: Host, engine: Engine) -> None:
    """They are NULL, not 0."""
    host.add_user(1)
    host.add_analysis(1, 1, created_at=moment(NOW - MINUTE))
    deliver_run(engine, None, analysis_id=1, user_id=1)
    kill(engine)
    HostRows(engine, KEY).project_analysis(1)
    row = host.row("analyses", id=1)
    assert (row["status"], row["candidates_above_70_percent"], row["candidates_below_50_percent"]) == (
        *("interrupted", None),
        None,
    )


def test_the_cost_of_a_candidate_counts_completed_runs_only(host: Host, engine: Engine) -> None:
    """Costs and candidates of other runs are left out: 3 dollars for 60 candidates are 5 cents."""
    for ending in ("completed", "failed", "cancelled", None):
        deliver_run(engine, ending)
    kill(engine)
    figures = as_json(host)
    assert figures["cost"] == {"pico": 12 * 10**12, "dollars": "12", "complete": False}
    assert (Decimal(figures["cost_per_candidate"]), figures["cost_per_candidate_complete"]) == (
        Decimal("0.05"),
        True,
    )
    page = flask(host, "report")
    assert re.search(r"a candidate \$0\.050* +│", page)
    assert re.search(r"a job \$3\.00\d* or more", page)


def test_the_cost_of_a_candidate_may_be_a_lower_bound(host: Host, engine: Engine) -> None:
    """One call without a price in a completed run makes it one."""
    deliver_run(engine, "completed")
    short = Fragment(opened_at=NOW - MINUTE, candidates=40).calls(call(pico=2 * 10**12), call(pico=None))
    deliver(engine, short.documents(visit("a.pdf", score=0.9)).close())
    figures = as_json(host)
    assert (Decimal(figures["cost_per_candidate"]), figures["cost_per_candidate_complete"]) == (
        Decimal("0.05"),
        False,
    )
    assert re.search(r"a candidate \$0\.050* or more", flask(host, "report"))


def test_failed_runs_alone_give_no_cost_of_a_candidate(host: Host, engine: Engine) -> None:
    """No candidate was analysed."""
    deliver_run(engine, "failed")
    assert as_json(host)["cost_per_candidate"] is None


def test_endings_add_up_to_the_jobs(host: Host, engine: Engine) -> None:
    """Every job counts for one ending; a partial failure has one of its own."""
    for ending in ("completed", "partial_failure", "partial_failure", "failed", "interrupted", "cancelled"):
        deliver_run(engine, ending)
    deliver_run(engine, None)
    figures = as_json(host)
    assert {name: figures[name] for name in ENDINGS} == dict(zip(ENDINGS, (1, 2, 1, 1, 1, 1, 0), strict=True))
    assert sum(figures[name] for name in ENDINGS) == figures["jobs"] == 7
    assert figures["success_rate"] == pytest.approx(1 / 5)
    days = figures["periods"]
    for name in ("failed", "interrupted", "partial_failures"):
        assert sum(day[name] for day in days) == figures[name]
    page = flask(host, "report")
    for line in (
        *(r"succeeded 1 \(20%\)", "failed in part 2", "failed 1", "interrupted 1", "cancelled 1"),
        "running 1",
    ):
        assert re.search(rf"│ +{line} +│", page), line


def test_a_partial_failure_lowers_the_health_score(host: Host, engine: Engine) -> None:
    """It is no success either."""
    deliver_run(engine, "partial_failure")
    figures = as_json(host)
    assert (figures["success_rate"], figures["health_score"], figures["health"]) == (0, 0, "poor")


def test_failed_calls_and_marked_errors_are_shown_separately(host: Host, engine: Engine) -> None:
    """Calls fail by themselves; errors are marked by the application."""
    fragment = Fragment(opened_at=NOW - MINUTE, candidates=1).calls(call(), failed_call("ranking", "500"))
    fragment.accumulator.error("ranking", "ValueError")
    fragment.accumulator.error("ranking", "ValueError")
    deliver(engine, fragment.close("failed"))
    figures = as_json(host)
    (stage,), (job,) = figures["stages"], figures["latest"]
    assert (stage["failed_calls"], "errors" in stage) == (1, False)
    assert job["errors"] == {"ValueError in ranking": 2}
    page = flask(host, "report")
    assert page.count("failed calls") == 2  # models and stages
    assert "errors marked by the application: ValueError in ranking ×2" in page
    assert len(re.findall(r"\berrors\b", page)) == 1


def test_a_user_that_the_host_lacks_is_marked(host: Host, engine: Engine) -> None:
    """A user who exists, or whose row was not looked for yet, is not."""
    host.add_user(1)
    for user in (1, 99):
        deliver_run(engine, "completed", user_id=user)
        HostRows(engine, KEY).project_user(user)
    deliver_run(engine, "completed", user_id=98)
    users = {user["user"]: user["is_missing"] for user in as_json(host)["active_users"]}
    assert users == {1: False, 98: False, 99: True}
    page = flask(host, "report")
    assert page.count("the application has no such user") == 1
    assert re.search(r"^ *99 .*\n +the application has no such user", page, re.M)


def test_a_run_of_another_users_analysis_is_marked_as_foreign(host: Host, engine: Engine) -> None:
    """Runs of the analysis's own user are not."""
    for user in (1, 2):
        host.add_user(user)
    host.add_analysis(1, 1, created_at=moment(NOW - MINUTE))
    deliver_run(engine, "completed", analysis_id=1, user_id=1)
    deliver_run(engine, "completed", analysis_id=1, user_id=2)
    HostRows(engine, KEY).project_analysis(1)
    for options in ((), ("--analysis", "1")):
        figures = as_json(host, *options)
        assert {job["user"]: job["is_foreign"] for job in figures["latest"]} == {1: False, 2: True}
        assert figures["foreign_runs"] == 1
        page = flask(host, "report", *options)
        assert page.count("belongs to another user") == 2
    assert "1 run names analysis 1 whose row belongs to another user, or is younger than the run" in page


def test_a_run_of_a_deleted_analysis_is_not_foreign(host: Host, engine: Engine) -> None:
    """It was linked to the analysis before the row was deleted."""
    host.add_user(1)
    host.add_analysis(1, 1, created_at=moment(NOW - MINUTE))
    deliver_run(engine, "completed", analysis_id=1, user_id=1)
    for _ in range(2):
        HostRows(engine, KEY).project_analysis(1)
        host.execute("DELETE FROM analyses")
    assert as_json(host)["foreign_runs"] == 0
