"""What a report does not know, and whom: documents of runs that did not end, endings, users, foreign runs."""

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


def worked(engine: Engine, ending: str | None, **known: Any) -> None:
    """A run of 60 candidates, of which 2 were scored; without an ending it is under way."""
    fragment = Fragment(**{"opened_at": NOW - MINUTE, "candidates": 60, **known})
    fragment.calls(*[call(pico=10**12) for _ in range(3)])
    fragment.documents(visit("a.pdf", characters=700, score=0.9), visit("b.pdf", characters=900, score=0.3))
    if ending == "partial_failure":  # as which a run counts by itself
        fragment.documents(visit("c.pdf", error_type="ValueError"))
        ending = "completed"
    deliver(engine, fragment.snapshot() if ending is None else fragment.close(ending))


def kill(engine: Engine) -> None:
    """Take everything that is under way for dead."""
    assert interruptions.interrupt_stale(engine, timedelta(0))


def exported(host: Host) -> Any:
    return json.loads(flask(host, "export", "--format", "json"))


UNKNOWN = (
    *("n_documents", "n_scored", "n_failed", "n_duplicates", "resume_characters", "score_avg"),
    *("above_70", "from_50_to_70", "below_50"),
)


@pytest.mark.parametrize("is_dead", [False, True])
def test_documents_of_a_run_that_did_not_end(host: Host, engine: Engine, is_dead: bool) -> None:
    """They are unknown on the page, as JSON and in exports; what was handed in is known."""
    worked(engine, None)
    if is_dead:
        kill(engine)
    (job,) = as_json(host)["latest"]
    assert (job["status"], job["calls"]) == ("interrupted" if is_dead else "running", 3)
    assert (job["done"], job["candidates"], job["score"]) == (None, 60, None)
    assert re.search(rf" {job['status']} .* \? +60 ", flask(host, "report"))
    (row,) = exported(host)
    assert {name: row[name] for name in UNKNOWN} == dict.fromkeys(UNKNOWN)


@pytest.mark.parametrize("is_dead", [False, True])
def test_documents_of_a_part_that_did_not_end(host: Host, engine: Engine, is_dead: bool) -> None:
    """One worker said what it did, the other did not: the half that is known is no total."""
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


def test_a_run_that_was_stopped_in_time(host: Host, engine: Engine) -> None:
    """It closed, so it told its documents: an interruption alone makes nothing unknown."""
    worked(engine, "interrupted")
    (job,) = as_json(host)["latest"]
    assert (job["done"], job["candidates"], job["score"]) == (2, 60, 0.6)
    assert exported(host)[0]["n_documents"] == 2


def test_averages_leave_out_what_is_unknown(host: Host, engine: Engine) -> None:
    """The mean of the résumés is that of the runs that told theirs; so are the sums of documents."""
    worked(engine, "completed")
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
        found = connection.exec_driver_sql("SELECT spend_class, failed_documents FROM telemetry_spend")
        return [dict(row) for row in found.mappings()]


def test_the_row_of_the_application(host: Host, engine: Engine) -> None:
    """It shows no bands of scores, rather than three zeros."""
    host.add_user(1)
    host.add_analysis(1, 1, created_at=moment(NOW - MINUTE))
    worked(engine, None, analysis_id=1, user_id=1)
    kill(engine)
    HostRows(engine, KEY).project_analysis(1)
    row = host.row("analyses", id=1)
    assert (row["status"], row["candidates_above_70_percent"], row["candidates_below_50_percent"]) == (
        *("interrupted", None),
        None,
    )


def test_what_a_candidate_costs(host: Host, engine: Engine) -> None:
    """Failures and the killed have neither part in it: 3 dollars for 60 candidates are 5 cents."""
    for ending in ("completed", "failed", "cancelled", None):
        worked(engine, ending)
    kill(engine)
    found = as_json(host)
    assert found["cost"] == {"pico": 12 * 10**12, "dollars": "12", "complete": False}
    assert (Decimal(found["cost_per_candidate"]), found["cost_per_candidate_complete"]) == (
        Decimal("0.05"),
        True,
    )
    page = flask(host, "report")
    assert re.search(r"a candidate \$0\.050* +│", page)
    assert re.search(r"a job \$3\.00\d* or more", page)


def test_what_a_candidate_costs_at_least(host: Host, engine: Engine) -> None:
    """A call without a price in one that counts makes it a lower bound."""
    worked(engine, "completed")
    short = Fragment(opened_at=NOW - MINUTE, candidates=40).calls(call(pico=2 * 10**12), call(pico=None))
    deliver(engine, short.documents(visit("a.pdf", score=0.9)).close())
    found = as_json(host)
    assert (Decimal(found["cost_per_candidate"]), found["cost_per_candidate_complete"]) == (
        Decimal("0.05"),
        False,
    )
    assert re.search(r"a candidate \$0\.050* or more", flask(host, "report"))


def test_only_runs_that_count_for_nothing(host: Host, engine: Engine) -> None:
    """Nothing was analysed: no candidate has a price."""
    worked(engine, "failed")
    assert as_json(host)["cost_per_candidate"] is None


def test_endings_add_up_to_the_jobs(host: Host, engine: Engine) -> None:
    """Each job is in one number; a partial failure is neither a success nor nothing."""
    for ending in ("completed", "partial_failure", "partial_failure", "failed", "interrupted", "cancelled"):
        worked(engine, ending)
    worked(engine, None)
    found = as_json(host)
    assert {name: found[name] for name in ENDINGS} == dict(zip(ENDINGS, (1, 2, 1, 1, 1, 1, 0), strict=True))
    assert sum(found[name] for name in ENDINGS) == found["jobs"] == 7
    assert found["success_rate"] == pytest.approx(1 / 5)
    days = found["periods"]
    for name in ("failed", "interrupted", "partial_failures"):
        assert sum(day[name] for day in days) == found[name]
    page = flask(host, "report")
    for line in (
        *(r"succeeded 1 \(20%\)", "failed in part 2", "failed 1", "interrupted 1", "cancelled 1"),
        "running 1",
    ):
        assert re.search(rf"│ +{line} +│", page), line


def test_a_partial_failure_is_an_issue(host: Host, engine: Engine) -> None:
    """Health is not all good beside one."""
    worked(engine, "partial_failure")
    found = as_json(host)
    assert (found["success_rate"], found["health_score"], found["health"]) == (0, 0, "poor")


def test_failed_calls_and_marked_errors(host: Host, engine: Engine) -> None:
    """Two things of two names."""
    fragment = Fragment(opened_at=NOW - MINUTE, candidates=1).calls(call(), failed_call("ranking", "500"))
    fragment.accumulator.error("ranking", "ValueError")
    fragment.accumulator.error("ranking", "ValueError")
    deliver(engine, fragment.close("failed"))
    found = as_json(host)
    (stage,), (job,) = found["stages"], found["latest"]
    assert (stage["failed_calls"], "errors" in stage) == (1, False)
    assert job["errors"] == {"ValueError in ranking": 2}
    page = flask(host, "report")
    assert page.count("failed calls") == 2  # models and stages
    assert "errors marked by the application: ValueError in ranking ×2" in page
    assert len(re.findall(r"\berrors\b", page)) == 1


def test_a_user_that_there_is_not(host: Host, engine: Engine) -> None:
    """They are marked; one that is there, and one nobody looked for yet, are not."""
    host.add_user(1)
    for user in (1, 99):
        worked(engine, "completed", user_id=user)
        HostRows(engine, KEY).project_user(user)
    worked(engine, "completed", user_id=98)
    users = {user["user"]: user["is_missing"] for user in as_json(host)["active_users"]}
    assert users == {1: False, 98: False, 99: True}
    page = flask(host, "report")
    assert page.count("the application has no such user") == 1
    assert re.search(r"^ *99 .*\n +the application has no such user", page, re.M)


def test_an_analysis_of_another_user(host: Host, engine: Engine) -> None:
    """A run that names it is shown as such, also where its own user is there."""
    for user in (1, 2):
        host.add_user(user)
    host.add_analysis(1, 1, created_at=moment(NOW - MINUTE))
    worked(engine, "completed", analysis_id=1, user_id=1)
    worked(engine, "completed", analysis_id=1, user_id=2)
    HostRows(engine, KEY).project_analysis(1)
    for options in ((), ("--analysis", "1")):
        found = as_json(host, *options)
        assert {job["user"]: job["is_foreign"] for job in found["latest"]} == {1: False, 2: True}
        assert found["foreign_runs"] == 1
        page = flask(host, "report", *options)
        assert page.count("belongs to another user") == 2
    assert "1 run names analysis 1 whose row belongs to another user, or is younger than the run" in page


def test_an_analysis_that_was_deleted(host: Host, engine: Engine) -> None:
    """Its runs were its own: that its row is gone makes them nobody else's."""
    host.add_user(1)
    host.add_analysis(1, 1, created_at=moment(NOW - MINUTE))
    worked(engine, "completed", analysis_id=1, user_id=1)
    for _ in range(2):
        HostRows(engine, KEY).project_analysis(1)
        host.execute("DELETE FROM analyses")
    assert as_json(host)["foreign_runs"] == 0
