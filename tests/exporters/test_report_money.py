"""Money in the report: lines that add up, and what is missing from them."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from exporters.reports import Gap, Money, Report, report
from exporters.reports.lines import SPENT_ON
from exporters.reports.periods import parts, unit
from exporters.rollup.call import Call
from exporters.rollup.snapshot import Snapshot
from exporters.sql.storage import runs as run_storage
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.exporters.makers import SECOND, SOME_HOSTS, Fragment, Host, call, failed_call, moment, visit

HOSTS = SOME_HOSTS

NOW = int(datetime.now(UTC).timestamp()) * SECOND
HOUR = 3600 * SECOND
FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:an-organization:a-suffix:9ABCdefg"


def report_of(host: Host, days: int = 30, **known: Any) -> Report:
    return report(Settings(database_url=host.url), days, **known)


def run(host: Host, *options: str, status: int = 0) -> str:
    done = CliRunner().invoke(cli, ["report", *options], env={"TELEMETRY_DATABASE_URL": host.url})
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def spent(host: Host, engine: Engine) -> Host:
    """Runs of every class of spend, some of whose costs are not wholly known."""

    def deliver(pico: int, status: str | None = "completed", *more: Any, **known: Any) -> None:
        fragment = Fragment(opened_at=NOW - HOUR, **known).calls(call(pico=pico), *more)
        fragment.documents(visit("a.pdf", score=0.8))
        run_storage.deliver(engine, fragment.close(status) if status else fragment.snapshot())

    deliver(1, analysis_id=1, user_id=1, subject="draft:1")
    deliver(99_999_999_999, analysis_id=2, user_id=2)
    deliver(3_000_000_000_001, "failed", failed_call("ranking", "429", "500"), user_id=2)
    deliver(70, "cancelled")
    deliver(7_000_000, "interrupted", call(pico=None, model=FINE_TUNED))
    deliver(11, kind="intake", user_id=1, subject="draft:1")
    deliver(13, kind="intake", user_id=1, subject="draft:2")
    deliver(17, "completed", call(tokens=None), kind="late", analysis_id=1)
    deliver(123_456_789_012, None, user_id=3)
    run_storage.deliver(engine, orphans(call(pico=19), call(pico=None)))
    return host


def orphans(*calls: Call) -> Snapshot:
    """Return the orphan run of today with these calls."""
    known: dict[str, Any] = {"closed_at": NOW, "ends_run": True, "status": "completed"}
    return Fragment(kind="orphan", opened_at=NOW - HOUR, **known).calls(*calls).snapshot()


def test_spending_adds_up_on_the_page_in_json_and_in_sql(spent: Host) -> None:
    """It does so to the last pico-dollar; every class of spending has its line."""
    with spent.engine.connect() as connection:
        total = int(connection.scalar(sa.text("SELECT SUM(cost_pico) FROM telemetry_run_spend")))
        runs = connection.scalar(sa.text("SELECT COUNT(*) FROM telemetry_runs"))
    figures = json.loads(run(spent, "--json"))
    assert sum(line["cost"]["pico"] for line in figures["spend"]) == figures["cost"]["pico"] == total
    dollars = [Decimal(line["cost"]["dollars"]) for line in figures["spend"]]
    assert sum(dollars) == Decimal(figures["cost"]["dollars"]) == Decimal(total) / 10**12
    assert sum(line["runs"] for line in figures["spend"]) == runs

    page = run(spent).split("Spent\n")[1].split("Not included")[0]
    lines = re.findall(r"^(.+?) +(\d+) +\$([\d.,]+)\+?$", page, re.M)
    *shown, (name, count, sum_) = [(name, int(number), Decimal(amount)) for name, number, amount in lines]
    assert (name, count, sum_) == ("total", runs, Decimal(total) / 10**12)
    assert sum(amount for _, _, amount in shown) == sum_
    assert [name for name, _, _ in shown] == [
        *("analyses", "their intake", "work afterwards", "wasted: failed", "wasted: cancelled"),
        *("wasted: interrupted", "wasted: unused intake", "outside any run", "still running"),
    ]
    assert {line["name"] for line in figures["spend"]} <= set(SPENT_ON)


def test_models_stages_and_days_add_up_to_the_same_total(spent: Host) -> None:
    """Calls and rate limits of the models add up, too."""
    figures = report_of(spent, days=2)
    for lines in (figures.models, figures.stages, figures.periods):
        assert sum(line.cost.pico for line in lines) == figures.cost.pico > 0
    assert sum(model.calls for model in figures.models) == figures.calls
    assert sum(model.rate_limit_hits for model in figures.models) == figures.rate_limit_hits == 1


def test_gaps_in_the_costs_are_listed(spent: Host) -> None:
    """They say how many calls of which model, and why, on the page as well."""
    figures = report_of(spent)
    assert not figures.cost.complete
    assert Gap("unpriced", FINE_TUNED, 1) in figures.gaps
    assert Gap("unpriced", "gpt-4o-mini", 1) in figures.gaps
    assert Gap("usage_missing", "gpt-4o-mini", 1) in figures.gaps
    page = run(spent)
    assert " or more" in page
    assert f"1 call of {FINE_TUNED} without a price" in page
    assert "1 call of gpt-4o-mini without token counts" in page
    (model,) = [model for model in figures.models if model.name == FINE_TUNED]
    assert model.cost == Money(0, complete=False) and model.cost.dollars is None
    assert re.search(rf"^{FINE_TUNED} .*unknown *$", page, re.M)


def test_an_unfinished_call_is_a_gap_without_a_model(host: Host, engine: Engine) -> None:
    """Only the answer would have named the model."""
    fragment = Fragment(opened_at=NOW - HOUR).calls(call())
    fragment.accumulator.call_started()
    run_storage.deliver(engine, fragment.close("failed"))
    assert report_of(host).gaps == [Gap("unfinished", None, 1)]
    assert "1 call without a known end" in run(host)


def test_the_cost_of_imported_runs_is_unknown(host: Host) -> None:
    """It is unknown in total, by day and by job, and never 0."""
    host.insert(
        "telemetry_runs",
        run_id="1" * 32,
        kind="import",
        source="import",
        synthetic=False,
        version=1,
        status="unknown",
        started_at=moment(NOW - HOUR),
        candidates=3,
        cost_complete=False,
    )
    figures = report_of(host)
    assert (figures.cost.dollars, figures.cost_per_job, figures.success_rate) == (None, None, None)
    assert [(line.name, line.cost.dollars) for line in figures.spend] == [("history", None)]
    assert figures.gaps == [Gap("history", None, None, 1)]
    page = run(host)
    assert "$" not in page
    assert page.count("unknown") >= 5
    assert "1 run from before telemetry, whose cost is not known" in page
    assert json.loads(run(host, "--json"))["cost"] == {"pico": 0, "dollars": None, "complete": False}


def test_calls_outside_any_run_alone_lead_to_a_hint(host: Host, engine: Engine) -> None:
    """The page says that no run was begun, and which lines to add."""
    run_storage.deliver(engine, orphans(*[call("unattributed") for _ in range(12)]))
    figures = report_of(host)
    assert (figures.runs, figures.orphan_calls, figures.has_only_orphans) == (0, 12, True)
    assert figures.cost == Money(12 * 210_000_000)
    page = run(host)
    assert "No run was begun: 12 calls to OpenAI were made outside any run." in page
    assert 'with telemetry.run("analysis", user_id=user.id) as run:' in page
    run_storage.deliver(engine, Fragment(opened_at=NOW - HOUR).calls(call()).close())
    assert not report_of(host).has_only_orphans
    assert "No run was begun" not in run(host)


def test_a_report_can_be_limited_to_a_user(spent: Host) -> None:
    """It has only the runs, jobs and calls of that user."""
    figures = report_of(spent, user_id=2)
    assert (figures.jobs, [user.user for user in figures.active_users]) == (2, [2])
    assert figures.cost == Money(3_100_000_000_000)
    assert [model.cost.pico for model in figures.models] == [3_100_000_000_000]
    assert {job.user for job in figures.latest} == {2}
    assert run(spent, "--user", "2").startswith("Analyses from")
    assert "of user 2" in run(spent, "--user", "2")


@pytest.mark.parametrize("glob", [FINE_TUNED, "ft:*", "ft:gpt-?o-*"])
def test_a_report_can_be_limited_to_a_model(spent: Host, glob: str) -> None:
    """It has the runs that called the model, with what they spent on it."""
    figures = report_of(spent, model=glob)
    assert [model.name for model in figures.models] == [FINE_TUNED]
    assert (figures.jobs, figures.calls) == (1, 1)
    assert figures.cost == Money(0, complete=False)
    assert [(line.name, line.cost.pico) for line in figures.spend] == [("interrupted", 0)]
    assert [(job.status, job.calls, job.cost.dollars) for job in figures.latest] == [("interrupted", 1, None)]


def test_gaps_of_one_model_are_not_gaps_of_another(spent: Host) -> None:
    """A run whose end is unknown is incomplete for all its models."""
    figures = report_of(spent, model="gpt-4o-mini", days=2)
    assert sum(line.cost.pico for line in figures.spend) == figures.cost.pico == report_of(spent).cost.pico
    assert Gap("unpriced", FINE_TUNED, 1) not in figures.gaps
    by_status = {job.status: job.cost for job in figures.latest}
    assert by_status["interrupted"] == Money(7_000_000)
    assert by_status["running"] == Money(123_456_789_012, complete=False)
    assert by_status["failed"] == Money(3_000_000_000_001)


@pytest.mark.parametrize("glob", ["gpt-4o", "*4o", "100%", "gpt_4o_mini"])
def test_a_model_without_calls_gives_an_empty_report(spent: Host, glob: str) -> None:
    """Only `*` and `?` are wildcards, those of SQL are not."""
    assert report_of(spent, model=glob).is_empty
    assert f"No call to {glob}." in run(spent, "--model", glob)


CONTRADICTIONS = {
    "--days 3 --since 2026-10-01": "--days and --since exclude each other",
    "--since 2026-10-02 --until 2026-10-02": "must be later than --since, 2026-10-02",
    "--since 2026-10-02 --until 2026-10-01": "must be later than --since, 2026-10-02",
    "--since 2999-01-01": "is in the future",
    "--analysis 1 --days 3": "--analysis and --days exclude each other: an analysis has no period",
    "--analysis 1 --since 2026-10-01": "--analysis and --since exclude each other",
    "--analysis 1 --until 2026-10-01": "--analysis and --until exclude each other",
    "--analysis 1 --user 2": "--analysis and --user exclude each other: an analysis has one user",
    "--model ''": "names no model",
}


@pytest.mark.parametrize("options", CONTRADICTIONS)
@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_contradicting_options_are_refused(host: Host, options: str) -> None:
    """The message names them and what is wrong."""
    words = [word.strip("'") for word in options.split()]
    assert CONTRADICTIONS[options] in run(host, *words, status=2)


def test_a_period_may_be_given_by_dates(host: Host, engine: Engine) -> None:
    """The first is included, the last is not; without the first, it is 30 or --days days long."""
    for day in range(1, 5):
        opened = int(datetime(2026, 10, day, 12, tzinfo=UTC).timestamp()) * SECOND
        run_storage.deliver(engine, Fragment(opened_at=opened).calls(call()).close())
    figures = report_of(host, since=date(2026, 10, 2), until=date(2026, 10, 4))
    assert (figures.first, figures.last) == (date(2026, 10, 2), date(2026, 10, 3))
    assert [(period.first.day, period.jobs) for period in figures.periods] == [(2, 1), (3, 1)]
    assert report_of(host, 2, until=date(2026, 10, 3)).jobs == 2
    assert report_of(host, until=date(2026, 10, 3)).first == date(2026, 9, 3)
    assert json.loads(run(host, "--since", "2026-10-01", "--until", "2026-10-04", "--json"))["jobs"] == 3


def test_days_without_runs_are_listed(host: Host, engine: Engine) -> None:
    """They have dashes, not zeros; longer periods are listed by week or month."""
    run_storage.deliver(engine, Fragment(opened_at=NOW - 3 * 24 * HOUR).calls(call()).close())
    page = run(host, "--days", "7").split("Days\n")[1].split("\n\n")[0]
    lines = page.splitlines()[1:]
    assert len(lines) == 7
    assert sum(line.split()[2:] == ["–"] * 5 for line in lines) == 6
    assert "Weeks\n" in run(host, "--days", "365")
    assert "Months\n" in run(host, "--days", "3660")


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(1, 4000))
def test_the_parts_of_a_period_follow_one_another(first: date, length: int) -> None:
    """There are at most 31 days, 54 weeks or 133 months, from the first day to the last."""
    last = first + timedelta(days=length - 1)
    periods = list(parts(first, last))
    assert (periods[0][0], periods[-1][1]) == (first, last)
    assert all(after - before == timedelta(days=1) for (_, before), (after, _) in pairwise(periods))
    assert len(periods) <= {"day": 31, "week": 54, "month": 133}[unit(first, last)]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
def test_runs_are_listed_on_their_local_day(host: Host, engine: Engine, zone: str) -> None:
    """Days of 23 and 25 hours and changes by half an hour are included."""
    begun = [datetime(2026, 10, 4, 12, tzinfo=UTC) + timedelta(minutes=45 * n) for n in range(160)]
    for when in begun[::8]:
        run_storage.deliver(engine, Fragment(opened_at=int(when.timestamp()) * SECOND).close("cancelled"))
    settings = Settings(database_url=host.url, timezone=zone)
    figures = report(settings, 30, since=date(2026, 10, 1), until=date(2026, 10, 20))
    days = [when.astimezone(ZoneInfo(zone)).date() for when in begun[::8]]
    assert {period.first: period.jobs for period in figures.periods if period.jobs} == {
        day: days.count(day) for day in days
    }


def test_the_number_of_queries_does_not_depend_on_the_period(host: Host, engine: Engine) -> None:
    """Ten years take as many as two days."""
    run_storage.deliver(engine, Fragment(opened_at=NOW - HOUR).calls(call(pico=None)).close())

    def statements(days: int) -> int:
        count = 0

        def counting(*_: Any) -> None:
            nonlocal count
            count += 1

        sa.event.listen(Engine, "before_cursor_execute", counting)
        try:
            report_of(host, days=days)
        finally:
            sa.event.remove(Engine, "before_cursor_execute", counting)
        return count

    assert statements(2) == statements(3660) < 20


def test_kinds_of_429_and_of_gaps_are_counted_separately(host: Host, engine: Engine) -> None:
    """A kind that did not occur has no column."""
    assert "no quota" not in run(host)
    fragment = Fragment(opened_at=NOW - HOUR).calls(call(), call(pico=None), call(pico=None))
    run_storage.deliver(engine, fragment.close())
    host.execute("UPDATE telemetry_stage_usage SET quota_hits = 3, spend_limit_hits = 4")
    host.execute("UPDATE telemetry_stage_usage SET unmodelled = 1 WHERE unpriced > 0")
    figures = report_of(host)
    assert (figures.rate_limit_hits, figures.quota_hits, figures.spend_limit_hits) == (0, 6, 8)
    assert {(gap.reason, gap.calls) for gap in figures.gaps} == {("unpriced", 1), ("unmodelled", 1)}
    page = run(host)
    assert "429: no quota 6" in page and "429: spend limit 8" in page
    assert "1 call of gpt-4o-mini not billed by tokens" in page
