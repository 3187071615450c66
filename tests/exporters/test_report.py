"""The report has the figures of the admin pages, as the views compute them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from exporters.reports import Money, Range, Report, User, report
from exporters.reports.jobs import bins
from exporters.reports.jobs import median as median_of
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.storage import runs as run_storage
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.exporters.makers import KEY, SECOND, SOME_HOSTS, Fragment, Host, call, failed_call, moment, visit

HOSTS = SOME_HOSTS

NOW = int(datetime.now(UTC).timestamp()) * SECOND
DAY = 86_400 * SECOND


@pytest.fixture
def used(host: Host, engine: Engine) -> Host:
    """A small job over the limit, a large one that fails, one a week ago, and an intake."""
    for user in (1, 2):
        host.add_user(user)
    host.add_analysis(1, 1, created_at=moment(NOW - 60 * SECOND))
    host.execute("UPDATE analyses SET exceeded_resume_limit = true, user_chose_override = true")
    small = Fragment(
        analysis_id=1, user_id=1, opened_at=NOW - 60 * SECOND, candidates=2, criteria=3, jd_characters=900
    )
    small.calls(
        call(pico=3 * 10**12, duration_us=2_000_000), call("insights", pico=10**12, duration_us=4_000_000)
    )
    small.documents(visit("a.pdf", characters=100, score=0.9), visit("b.pdf", characters=300, score=0.7))
    large = Fragment(user_id=2, opened_at=NOW - 50 * SECOND, candidates=300)
    large.calls(failed_call("ranking", "429", "500"))
    large.accumulator.error("ranking", "RateLimitError")
    old = Fragment(user_id=2, opened_at=NOW - 7 * DAY, candidates=10).calls(call(pico=10**12))
    old.documents(visit("a.pdf", score=0.5))
    intake = Fragment(kind="intake", user_id=1, opened_at=NOW - 90 * SECOND).calls(call(pico=5 * 10**11))
    read = Fragment(kind="intake", analysis_id=1, user_id=1, opened_at=NOW - 95 * SECOND)
    read.calls(call("reading", pico=25 * 10**10))
    for fragment, status, seconds in (
        (small, "completed", 8),
        (large, "failed", 20),
        (old, "completed", 100),
        (intake, "completed", 1),
        (read, "completed", 1),
    ):
        fragment.now += seconds * SECOND
        run_storage.deliver(engine, fragment.close(status))
    rows = HostRows(engine, KEY)
    rows.project_analysis(1)
    for user in (1, 2):
        rows.project_user(user)
    return host


def report_of(host: Host, days: int = 30, **known: Any) -> Report:
    return report(Settings(database_url=host.url), days, **known)


def test_totals_are_those_of_the_period(used: Host) -> None:
    """Jobs are counted, and the money of all runs is summed."""
    figures = report_of(used)
    assert (figures.jobs, figures.users, figures.candidates) == (3, 2, 312)
    assert (figures.completed, figures.failed) == (2, 1)
    assert figures.success_rate == pytest.approx(2 / 3)
    assert figures.cost == Money(5_750_000_000_000, complete=True)
    assert figures.cost_per_job == Decimal("1.916666666667")
    assert figures.cost_per_candidate == Decimal("0.416666666667")


def test_sizes_and_times_have_mean_least_and_most(used: Host) -> None:
    """Batch sizes are grouped as on the admin page."""
    figures = report_of(used)
    assert figures.seconds == Range(pytest.approx(131 / 3), 9, 101)  # type: ignore[arg-type]
    assert (figures.batch, figures.batch_median) == (Range(104, 2, 300), 10)
    assert figures.batches == {"1-10": 2, "11-50": 0, "51-100": 0, "101-200": 0, "200+": 1}
    assert (figures.jd_characters, figures.resume_characters) == (Range(900, 900, 900), Range(200, 100, 300))
    assert figures.response_seconds == pytest.approx((2 + 4 + 0.0015 * 4) / 6)


def test_jobs_over_the_limit_lead_to_advice(used: Host) -> None:
    """The report counts them and those that were overridden."""
    figures = report_of(used)
    assert (figures.over_limit, figures.overrides, figures.override_rate) == (1, 1, 1)
    assert figures.advice == "Half of the users over the limit override it: raise it."


def test_the_health_score_counts_failed_and_slow_jobs(used: Host) -> None:
    """One of three jobs failed, and another took ten seconds a candidate."""
    figures = report_of(used)
    assert figures.health_score == pytest.approx(1 / 3)
    assert figures.health == "poor"


def test_figures_are_broken_down_by_day_stage_and_user(used: Host) -> None:
    """Every day of the period is listed."""
    figures = report_of(used, days=8)
    assert len(figures.periods) == 8
    assert sum(day.jobs for day in figures.periods) == 3
    assert [stage.name for stage in figures.stages] == ["ranking", "insights", "reading"]
    assert [(user.user, user.jobs) for user in figures.active_users] == [(2, 2), (1, 1)]


def test_all_breakdowns_add_up_to_the_total(used: Host) -> None:
    """Intakes are included in the days, stages, models and users."""
    figures = report_of(used, days=8)
    for parts in (figures.spend, figures.periods, figures.stages, figures.models, figures.active_users):
        assert sum(part.cost.pico for part in parts) == figures.cost.pico == 5_750_000_000_000


def test_a_user_without_a_job_is_listed_with_the_intake(host: Host, engine: Engine) -> None:
    """The page shows its money in every breakdown, too."""
    intake = Fragment(kind="intake", user_id=7, opened_at=NOW - DAY).calls(call(pico=5 * 10**11))
    run_storage.deliver(engine, intake.close())
    (user,) = report_of(host).active_users
    assert user == User(7, jobs=0, candidates=0, cost=Money(5 * 10**11))
    page = run(host)
    assert "There are none." not in page
    assert page.count("$0.50") == 7  # spent, what on and in total, its model, its stage, its day, its user


def test_the_latest_jobs_can_be_limited_to_failures(used: Host) -> None:
    """They are listed with their errors and how many documents were done."""
    latest, failed = report_of(used).latest, report_of(used, failed=True).latest
    assert [job.status for job in latest] == ["failed", "completed", "completed"]
    (job,) = failed
    assert job.errors == {"RateLimitError in ranking": 1}
    assert (job.done, job.candidates) == (0, 300)


def test_a_shorter_period_has_fewer_jobs(used: Host) -> None:
    """Jobs that began before it are left out."""
    assert report_of(used, days=6).jobs == 2


def test_the_report_of_one_analysis_has_no_period(used: Host) -> None:
    """It includes the analysis whenever it was."""
    figures = report_of(used, analysis_id=1)
    assert (figures.jobs, figures.cost.dollars, [job.analysis for job in figures.latest]) == (
        1,
        Decimal("4.25"),
        [1],
    )
    assert (figures.analysis_id, figures.first, figures.last, figures.periods) == (1, None, None, [])


def test_the_parts_of_one_analysis_add_up(used: Host) -> None:
    """The cost of its intake is part of its stages and of its user's cost."""
    figures = report_of(used, analysis_id=1)
    assert [stage.name for stage in figures.stages] == ["ranking", "insights", "reading"]
    for parts in (figures.spend, figures.stages, figures.models, figures.active_users):
        assert sum(part.cost.pico for part in parts) == figures.cost.pico == 4_250_000_000_000
    page = run(used, "--analysis", "1")
    assert page.startswith("Analysis 1\n")
    assert "Analyses from" not in page


def test_an_unknown_analysis_is_an_error(used: Host) -> None:
    """One line says so, with --json as well."""
    for more in ((), ("--json",)):
        assert refused(used, "--analysis", "77", *more) == "Error: there is no run of analysis 77\n"


def test_a_report_without_jobs_has_no_rates(host: Host) -> None:
    """Nothing is divided by 0."""
    figures = report_of(host)
    assert (figures.jobs, figures.success_rate, figures.cost_per_job, figures.health_score) == (
        0,
        None,
        None,
        None,
    )
    assert (figures.override_rate, figures.advice, figures.batch) == (None, "", Range())


@given(st.lists(st.integers(1, 400), min_size=1))
def test_the_median_of_counted_sizes_is_the_median_of_all(sizes: list[int]) -> None:
    """Every size is in one bin, too."""
    from statistics import median

    counted = [(size, sizes.count(size)) for size in sorted(set(sizes))]
    assert median_of(counted) == median(sizes)
    assert sum(bins(counted).values()) == len(sizes)


def run(host: Host, *options: str) -> str:
    done = CliRunner().invoke(cli, ["report", *options], env={"TELEMETRY_DATABASE_URL": host.url})
    assert done.exit_code == 0, done.output
    return done.output


def refused(host: Host, *options: str) -> str:
    done = CliRunner().invoke(cli, ["report", *options], env={"TELEMETRY_DATABASE_URL": host.url})
    assert done.exit_code == 1, done.output
    return done.output


def test_the_page_is_plain_when_it_is_piped(used: Host) -> None:
    """It has every section, and no control sequences."""
    page = run(used)
    assert "\x1b" not in page
    for words in ("Totals", "$5.75", "33% poor", "1 of 1 (100%)", "RateLimitError in ranking", "Latest jobs"):
        assert words in page
    assert "Latest failures" in run(used, "--failed")


@pytest.mark.parametrize("wrong", ["99999999999999999999", "-1", "9223372036854775808", "one"])
def test_an_invalid_id_is_refused(sqlite_host: Host, wrong: str) -> None:
    """The message names the option."""
    environment = {"TELEMETRY_DATABASE_URL": sqlite_host.url}
    for words in (("report", "--analysis"), ("erase", "--analysis"), ("erase", "--user")):
        done = CliRunner().invoke(cli, [*words, wrong], env=environment)
        assert done.exit_code == 2
        assert f"Error: Invalid value for '{words[-1]}': " in done.stderr


OWN_FLASK = Path(sys.executable).with_name("flask")
"""For what the interpreter does itself."""


def shell(host: Host, line: str, flask: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell command line in which ``$FLASK`` is the command."""
    known = {"FLASK": str(flask), "TELEMETRY_DATABASE_URL": host.url}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env=os.environ | known | environment,
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_characters_that_a_terminal_lacks_are_replaced(used: Host, encoding: str) -> None:
    """The rest of the page is printed."""
    done = shell(used, "$FLASK telemetry report", OWN_FLASK, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    page = done.stdout.decode(encoding)
    assert "$5.75" in page and "Latest jobs" in page


@pytest.mark.parametrize("command", ["report", "report --json", "export", "doctor --no-run"])
@pytest.mark.parametrize(
    ("sink", "reason"),
    [(">&-", b"Error: standard output is closed"), (">/dev/full", b"No space left on device")],
)
def test_an_output_that_cannot_be_written_is_one_line(
    sqlite_host: Host, tmp_path: Path, flask: Path, command: str, sink: str, reason: bytes
) -> None:
    """The command exits 1."""
    spool = str(tmp_path / "spool")
    chosen = OWN_FLASK if sink == ">&-" else flask
    done = shell(sqlite_host, f"$FLASK telemetry {command} {sink}", chosen, TELEMETRY_SPOOL_DIR=spool)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr.decode()
    assert done.stderr.startswith(b"Error: ") and reason in done.stderr


@pytest.mark.parametrize(
    "command", ["report --days 400", "report --days 400 --model gpt*", "export --days 400"]
)
def test_control_characters_in_names_are_not_printed(sqlite_host: Host, flask: Path, command: str) -> None:
    """The name of a model comes from a service, or from whatever answers in its place."""
    model = "gpt\x1b]0;x\x07\x1b[31m[/red]\r\n\u202ezz\x9b2J"
    run_storage.deliver(sqlite_host.engine, Fragment().calls(call(model=model, pico=None)).close())
    done = shell(sqlite_host, f"$FLASK telemetry {command}", flask)
    printed = (
        done.stdout.decode().replace("\n", "").replace("\r", "" if command.startswith("export") else "\r")
    )

    assert done.returncode == 0, done.stderr
    assert not [character for character in printed if unicodedata.category(character) in ("Cc", "Cf")]


@pytest.mark.parametrize("command", ["report", "report --json", "export", "validate"])
def test_a_closed_pipe_ends_the_command_silently(sqlite_host: Host, flask: Path, command: str) -> None:
    """Other commands do the same."""
    done = shell(sqlite_host, f"$FLASK telemetry {command} | true", flask)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_health_check_works_without_an_output(sqlite_host: Host) -> None:
    """A command that does more than print goes on without standard output."""
    done = shell(sqlite_host, "$FLASK telemetry health-check >&-", OWN_FLASK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(sqlite_host.rows("system_health_log")) == 2


def test_the_page_says_that_there_were_no_jobs(host: Host) -> None:
    """It has no empty tables instead."""
    assert "There are none." in run(host)


def test_json_has_the_figures_of_the_page(used: Host) -> None:
    """Money is given in pico-dollars and as a decimal text."""
    figures = json.loads(run(used, "--json"))
    assert (figures["jobs"], figures["seconds"]["most"], figures["version"]) == (3, 101, 1)
    assert figures["cost"] == {"pico": 5_750_000_000_000, "dollars": "5.75", "complete": True}
    today = datetime.now(UTC).date()
    assert figures["last"] in (str(today), str(today - timedelta(days=1)))
