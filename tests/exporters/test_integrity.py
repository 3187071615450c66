"""Consistency rules hold for what the writer writes, and every one reports what breaks it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from exporters.integrity.rules import RULES, SUMS
from exporters.integrity.validation import broken
from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import migrate
from exporters.sql.storage import runs as run_storage
from telemetry.cli.group import cli
from tests.exporters.makers import CREATED, KEY, SOME_HOSTS, Fragment, Host, call, failed_call, visit
from tests.migrations.databases import create_host

HOSTS = SOME_HOSTS

RUNS = "UPDATE telemetry_runs SET {} WHERE kind = 'analysis'"
BREAK = {
    "orphaned_warnings": "UPDATE document_warnings SET user_id = 77",
    "timing_of_analyses": "UPDATE analyses SET processing_duration_seconds = 5, completed_at = NULL",
    "score_bands": RUNS.format("above_70 = above_70 + 1"),
    "scored_candidates": RUNS.format("n_duplicates = 99"),
    "stages_sum_to_the_run": "UPDATE telemetry_stage_usage SET cost_pico = cost_pico + 1",
    "runs_sum_to_the_analysis": "UPDATE analyses SET api_calls_made = 99 WHERE id = 1",
    "runs_sum_to_the_user": "DELETE FROM telemetry_runs WHERE user_ref = 2",
    "archived_once": "INSERT INTO telemetry_archived_runs (run_id, kind, started_at, fragments, archive)"
    " SELECT run_id, kind, started_at, '{}', 'runs-x' FROM telemetry_runs",
    "times_of_runs": RUNS.format("duration_us = -1"),
    "complete_costs": RUNS.format("unpriced = 1, cost_complete = true"),
    "negative_sums": RUNS.format("reasoning_tokens = -1"),
    "ended_runs": "UPDATE telemetry_fragments SET closed_at = NULL",
    "analyses_show_their_runs": RUNS.format("projected_version = 0, seen_at = '2026-01-01 00:00:00'")
    + " AND analysis_ref = 1",
    "users_show_their_runs": RUNS.format("user_version = 0, seen_at = '2026-01-01 00:00:00'")
    + " AND user_ref = 2",
}
"""By rule, a statement that breaks it."""


@pytest.fixture
def used(host: Host, engine: Engine) -> Host:
    """A database with some of every kind of run and row."""
    for user in (1, 2):
        host.add_user(user)
    for row in (1, 2):
        host.add_analysis(row)
        host.add_file(row, "a.pdf")
    host.insert("document_warnings", id=1, user_id=1, warning_type="jd_too_long", warning_shown_at=CREATED)
    fragments = [
        Fragment(analysis_id=1, user_id=1, candidates=3)
        .calls(call(), failed_call("ranking", "429", "500"), call(pico=None, tokens=None))
        .documents(
            visit("a.pdf", score=0.9), visit("b.pdf", score=0.1), visit("c.pdf", error_type="ValueError")
        ),
        Fragment(analysis_id=1, user_id=1, kind="late").calls(call("insights")),
        Fragment(kind="intake", user_id=1, subject="draft/1").calls(call()),
    ]
    for fragment in fragments:
        run_storage.deliver(engine, fragment.close())
    run_storage.deliver(engine, Fragment(analysis_id=2, user_id=1).calls(call()).snapshot())
    run_storage.deliver(engine, Fragment(user_id=2).calls(call()).close(candidates=4))
    rows = HostRows(engine, KEY)
    for row in (1, 2):
        rows.project_analysis(row)
        rows.project_user(row)
    return host


@pytest.mark.parametrize("column", ["jobs", "candidates", "cost_pico"])
def test_each_total_of_a_user_is_compared(used: Host, engine: Engine, column: str) -> None:
    """It is compared once it includes all runs: while one is not summed yet, or goes on, it may differ."""
    used.execute(f"UPDATE telemetry_users SET {column} = {column} + 1")
    (violation,) = broken(engine)
    assert (violation.rule.name, violation.ids) == ("runs_sum_to_the_user", ("2",))  # a run of user 1 goes on
    used.execute("UPDATE telemetry_runs SET version = version + 1 WHERE user_ref = 2")
    assert list(broken(engine)) == []


def test_what_the_writer_writes_is_consistent(used: Host, engine: Engine) -> None:
    """It breaks no rule."""
    assert list(broken(engine)) == []


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_each_rule_reports_what_breaks_it(used: Host, engine: Engine, rule: str) -> None:
    """The report has the ids of the rows."""
    if not used.is_postgresql:
        used.execute("PRAGMA foreign_keys = OFF")
    elif rule == "orphaned_warnings":
        used.execute("ALTER TABLE document_warnings DROP CONSTRAINT fk_document_warnings_user_id_users")
    used.execute(BREAK[rule])

    (violation,) = [broken_rule for broken_rule in broken(engine) if broken_rule.rule.name == rule]
    assert violation.count == len(violation.ids) > 0


@pytest.mark.parametrize(("run_column", "addend"), SUMS)
def test_each_sum_of_a_run_is_compared(used: Host, engine: Engine, run_column: str, addend: str) -> None:
    """A difference of one token or pico-dollar is reported, even in a run of a million dollars."""
    total = 10**18 if run_column == "cost_pico" else 2**50
    run = f"UPDATE telemetry_runs SET {run_column} = {{}} WHERE run_id = 'r'"
    run_storage.deliver(engine, Fragment(run_id="r").calls(call("ranking"), call("insights")).close())
    for stage, share in (("ranking", total // 3), ("insights", total - total // 3)):
        used.execute(
            f"UPDATE telemetry_stage_usage SET {addend} = {share} WHERE run_id = 'r' AND stage = '{stage}'"
        )
    used.execute(run.format(total))
    assert not [
        broken_rule for broken_rule in broken(engine) if broken_rule.rule.name == "stages_sum_to_the_run"
    ]

    for wrong in (total - 1, total + 1):
        used.execute(run.format(wrong))
        (violation,) = [
            broken_rule for broken_rule in broken(engine) if broken_rule.rule.name == "stages_sum_to_the_run"
        ]
        assert violation.ids == ("r",)


def test_stages_without_a_run_are_reported(used: Host, engine: Engine) -> None:
    """Stage rows that remain of a deleted run belong to no sum."""
    used.execute("DELETE FROM telemetry_runs WHERE kind = 'intake'")
    (violation,) = [
        broken_rule for broken_rule in broken(engine) if broken_rule.rule.name == "stages_sum_to_the_run"
    ]
    assert violation.count == 1


def test_many_violations_are_counted_and_some_named(used: Host, engine: Engine) -> None:
    """A list of a million ids would help nobody."""
    used.execute("UPDATE telemetry_runs SET reasoning_tokens = -1")
    (violation,) = [
        broken_rule for broken_rule in broken(engine, shown=2) if broken_rule.rule.name == "negative_sums"
    ]
    assert (violation.count, len(violation.ids)) == (5, 2)


def test_rules_about_missing_columns_are_left_out(database_url: str) -> None:
    """A host that lacks the columns breaks no rule."""
    create_host(database_url)
    migrate.upgrade(database_url)
    engine = create_engine(database_url)
    assert list(broken(engine)) == []
    engine.dispose()


def test_the_command_names_broken_rules(used: Host) -> None:
    """It prints rule and ids; its exit status says whether everything is consistent."""
    environment = {"TELEMETRY_DATABASE_URL": used.url}
    good = CliRunner().invoke(cli, ["validate"], env=environment)
    assert (good.exit_code, good.output) == (0, "Everything is consistent.\n")

    used.execute(BREAK["runs_sum_to_the_analysis"])
    bad = CliRunner().invoke(cli, ["validate"], env=environment)
    assert (bad.exit_code, bad.output) == (
        1,
        "runs_sum_to_the_analysis: 1\n"
        "  The rule is that an analysis that is not archived shows the calls of all its runs.\n"
        "  analyses.id: 1\n",
    )
    shown = CliRunner().invoke(cli, ["validate", "--json"], env=environment)
    assert (shown.exit_code, json.loads(shown.stdout)) == (
        1,
        {
            "is_consistent": False,
            "broken": [
                {
                    "rule": "runs_sum_to_the_analysis",
                    "meaning": "an analysis that is not archived shows the calls of all its runs",
                    "id_name": "analyses.id",
                    "count": 1,
                    "ids": ["1"],
                }
            ],
        },
    )
