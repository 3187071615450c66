"""The data of one user or one analysis is erased on request, and nothing else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from exporters.integrity.validation import validate
from exporters.sql.projection.behind import lagging_users
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.intake import claim_intake
from exporters.upkeep import erase as module
from exporters.upkeep.erase import Erased, erase
from telemetry.cli.group import cli
from tests.exporters.makers import CREATED, KEY, SOME_HOSTS, Fragment, Host, call, visit

HOSTS = SOME_HOSTS
TABLES = ("telemetry_runs", "telemetry_fragments", "telemetry_stage_usage", "telemetry_counters")
OTHERS = ("telemetry_documents", "telemetry_users", "document_warnings", "telemetry_warning_events")


@pytest.fixture
def used(host: Host, engine: Engine) -> Host:
    """Two users with a warning and two analyses each; one analysis has an intake."""
    for user in (1, 2):
        host.add_user(user)
        known = {"user_id": user, "warning_type": "jd_too_long", "warning_shown_at": CREATED}
        host.insert("document_warnings", id=user, **known)
    for analysis, user in ((1, 1), (2, 1), (3, 2), (4, 2)):
        host.add_analysis(analysis, user)
        subject = f"draft/{analysis}" if analysis == 1 else None
        job = Fragment(analysis_id=analysis, user_id=user, subject=subject).calls(call())
        job.documents(visit("a.pdf", score=0.5)).accumulator.count("fallbacks", 1)
        run_storage.deliver(engine, job.close())
    intake = Fragment(kind="intake", user_id=1, subject="draft/1").calls(call()).close()
    run_storage.deliver(engine, intake)
    claim_intake(engine, intake.run_id)
    for user in (1, 2):
        HostRows(engine, KEY).project_user(user)
    return host


def left(host: Host) -> dict[str, int]:
    return {table: len(host.rows(table)) for table in (*TABLES, *OTHERS)}


def test_erasing_a_user_erases_all_their_runs_and_warnings(used: Host) -> None:
    """Fragments and totals go, too; the other user keeps everything."""
    counted = erase(used.url, user_id=1)
    before = left(used)
    erased = erase(used.url, user_id=1, apply=True)

    assert erased == counted
    assert erased.runs == 3
    assert erased.rows == sum(before.values()) - sum(left(used).values())
    assert {run["user_ref"] for run in used.rows("telemetry_runs")} == {2}
    assert [row["user_ref"] for row in used.rows("telemetry_users")] == [2]
    assert [row["user_id"] for row in used.rows("document_warnings")] == [2]
    runs = {run["run_id"] for run in used.rows("telemetry_runs")}
    for table in (*TABLES, "telemetry_documents"):
        assert {row["run_id"] for row in used.rows(table)} == runs
    assert erase(used.url, user_id=1, apply=True) == Erased(0, 0)


def test_erasing_an_analysis_erases_its_intake(used: Host) -> None:
    """The user's other analyses stay."""
    assert erase(used.url, analysis_id=1, apply=True).runs == 2
    assert sorted(run["analysis_ref"] for run in used.rows("telemetry_runs")) == [2, 3, 4]
    assert left(used)["document_warnings"] == 2


def total(host: Host, user: int) -> tuple[Any, ...]:
    """Return a user's number of jobs and cost; check that all tables and the host's row agree on them."""
    person, row = host.row("telemetry_users", user_ref=user), host.row("users", id=user)
    with host.engine.connect() as connection:
        segment = sa.text("SELECT jobs FROM telemetry_user_segments WHERE user_ref = :user")
        runs = sa.text(
            "SELECT COUNT(*), COALESCE(SUM(cost_pico), 0), COALESCE(SUM(candidates), 0) FROM telemetry_runs"
            " WHERE user_ref = :user AND kind = 'analysis' AND NOT synthetic"
        )
        jobs = connection.scalar(segment, {"user": user})
        number, pico, candidates = connection.execute(runs, {"user": user}).one()
    assert (person["jobs"], person["cost_pico"], person["candidates"]) == (number, pico, candidates)
    assert (jobs, row["total_jobs_run"], row["total_candidates_analyzed"]) == (number, number, candidates)
    assert Decimal(str(row["total_api_spend"])) == Decimal(int(pico)) / 10**12
    return number, pico


def test_erasing_an_analysis_lowers_its_users_totals(used: Host) -> None:
    """The totals on the host's row, too; those of other users do not change."""
    other = total(used, 2)
    erase(used.url, analysis_id=1, apply=True)
    assert total(used, 1)[0] == 1
    erase(used.url, analysis_id=2, apply=True)
    assert total(used, 1) == (0, 0)
    assert total(used, 2) == other
    assert validate(used.url) == []

    erase(used.url, user_id=2, apply=True)
    assert used.row("users", id=2)["total_jobs_run"] == 0


def test_erasing_that_is_interrupted_can_be_repeated(
    used: Host, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be interrupted before the user's totals are computed, or before the runs are erased."""

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    for name in ("_refresh", "erase_runs"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KeyboardInterrupt):
                erase(used.url, analysis_id=1, apply=True)
        if name == "_refresh":
            assert lagging_users(engine) == [1]
    assert total(used, 1)[0] == 1
    assert erase(used.url, analysis_id=1, apply=True).runs == 2
    assert total(used, 1)[0] == 1
    assert lagging_users(engine) == []


@pytest.mark.parametrize("host", ["psycopg2", "psycopg"], indirect=True)
def test_a_locked_user_is_not_erased(used: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says that the application holds the row; nothing is erased, and it can be repeated."""
    monkeypatch.setattr(module, "TRIES", 2)
    options = ["erase", "--analysis", "1", "--apply", "--database-url", used.url]
    before = left(used)
    with used.holding("SELECT 1 FROM users WHERE id = 1 FOR UPDATE"):
        refused = CliRunner().invoke(cli, options)
    assert (refused.exit_code, len(refused.output.splitlines())) == (1, 1)
    assert "the application has locked the row of user 1" in refused.output
    assert left(used) == before
    assert CliRunner().invoke(cli, options).exit_code == 0
    assert total(used, 1)[0] == 1


def test_erasing_includes_warning_events(used: Host) -> None:
    """Those of the analysis's subject, or all of the user; events of others stay."""
    events = {"first": (1, "draft/1"), "answer": (None, "draft/1"), "elsewhere": (1, "draft/7")}
    for name, (user, subject) in {**events, "other user": (2, "draft/1")}.items():
        event = {"user_ref": user, "subject": subject, "happened_at": CREATED, "arrived_at": CREATED}
        used.insert("telemetry_warning_events", event_id=name, **event)

    erase(used.url, analysis_id=1, apply=True)
    assert {row["event_id"] for row in used.rows("telemetry_warning_events")} == {"elsewhere", "other user"}
    erase(used.url, user_id=1, apply=True)
    assert {row["event_id"] for row in used.rows("telemetry_warning_events")} == {"other user"}


def test_runs_are_erased_in_batches(used: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """More runs than fit in a batch are all erased."""
    monkeypatch.setattr(module, "BATCH", 1)
    assert erase(used.url, user_id=1, apply=True).runs == 3
    assert {run["user_ref"] for run in used.rows("telemetry_runs")} == {2}


def test_counting_what_would_be_erased_changes_nothing(used: Host) -> None:
    """Without `apply`, rows are only counted."""
    before = left(used)
    assert erase(used.url, user_id=2).runs == 2
    assert left(used) == before


def test_rows_of_the_host_are_not_erased(used: Host) -> None:
    """It is for the host to delete them."""
    erase(used.url, user_id=1, apply=True)
    with used.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM analyses")) == 4


def test_the_erase_command_applies_only_on_request(used: Host) -> None:
    """There are two runs of five rows each, a warning and totals; exactly one of both options is needed."""
    environment = {"TELEMETRY_DATABASE_URL": used.url}
    shown = CliRunner().invoke(cli, ["erase", "--user", "2"], env=environment)
    assert shown.output == "2 runs, 12 rows.\nNothing was erased; --apply erases.\n"
    done = CliRunner().invoke(cli, ["erase", "--user", "2", "--apply"], env=environment)
    assert (done.exit_code, done.output) == (0, "2 runs, 12 rows erased.\n")
    assert CliRunner().invoke(cli, ["erase"], env=environment).exit_code == 2
    both = CliRunner().invoke(cli, ["erase", "--user", "1", "--analysis", "1"], env=environment)
    assert both.exit_code == 2
