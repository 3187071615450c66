"""What the report says of money: lines that add up, and what is missing in them."""

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


def ask(host: Host, days: int = 30, **known: Any) -> Report:
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
    """What a process has seen today of calls outside any run."""
    known: dict[str, Any] = {"closed_at": NOW, "ends_run": True, "status": "completed"}
    return Fragment(kind="orphan", opened_at=NOW - HOUR, **known).calls(*calls).snapshot()


def test_the_lines_add_up_everywhere(spent: Host) -> None:
    """On the page, as JSON and in SQL, to the last pico-dollar; each class of spend has its line."""
    with spent.engine.connect() as connection:
        total = int(connection.scalar(sa.text("SELECT SUM(cost_pico) FROM telemetry_run_spend")))
        runs = connection.scalar(sa.text("SELECT COUNT(*) FROM telemetry_runs"))
    found = json.loads(run(spent, "--json"))
    assert sum(line["cost"]["pico"] for line in found["spend"]) == found["cost"]["pico"] == total
    dollars = [Decimal(line["cost"]["dollars"]) for line in found["spend"]]
    assert sum(dollars) == Decimal(found["cost"]["dollars"]) == Decimal(total) / 10**12
    assert sum(line["runs"] for line in found["spend"]) == runs

    page = run(spent).split("Spent\n")[1].split("Not included")[0]
    lines = re.findall(r"^(.+?) +(\d+) +\$([\d.,]+)\+?$", page, re.M)
    *shown, (name, count, sum_) = [(name, int(number), Decimal(amount)) for name, number, amount in lines]
    assert (name, count, sum_) == ("total", runs, Decimal(total) / 10**12)
    assert sum(amount for _, _, amount in shown) == sum_
    assert [name for name, _, _ in shown] == [
        *("analyses", "their intake", "work afterwards", "wasted: failed", "wasted: cancelled"),
        *("wasted: interrupted", "wasted: unused intake", "outside any run", "still running"),
    ]
    assert {line["name"] for line in found["spend"]} <= set(SPENT_ON)


def test_models_stages_and_days_add_up(spent: Host) -> None:
    """Each to the same total."""
    found = ask(spent, days=2)
    for lines in (found.models, found.stages, found.periods):
        assert sum(line.cost.pico for line in lines) == found.cost.pico > 0
    assert sum(model.calls for model in found.models) == found.calls
    assert sum(model.rate_limit_hits for model in found.models) == found.rate_limit_hits == 1


def test_what_is_missing_is_told(spent: Host) -> None:
    """How many calls of which model, and why; on the page, too."""
    found = ask(spent)
    assert not found.cost.complete
    assert Gap("unpriced", FINE_TUNED, 1) in found.gaps
    assert Gap("unpriced", "gpt-4o-mini", 1) in found.gaps
    assert Gap("usage_missing", "gpt-4o-mini", 1) in found.gaps
    page = run(spent)
    assert " or more" in page
    assert f"1 call of {FINE_TUNED} without a price" in page
    assert "1 call of gpt-4o-mini without token counts" in page
    (model,) = [model for model in found.models if model.name == FINE_TUNED]
    assert model.cost == Money(0, complete=False) and model.cost.dollars is None
    assert re.search(rf"^{FINE_TUNED} .*unknown *$", page, re.M)


def test_a_call_that_nobody_saw_the_end_of(host: Host, engine: Engine) -> None:
    """It is counted; its model is not known."""
    fragment = Fragment(opened_at=NOW - HOUR).calls(call())
    fragment.accumulator.call_started()
    run_storage.deliver(engine, fragment.close("failed"))
    assert ask(host).gaps == [Gap("unfinished", None, 1)]
    assert "1 call without a known end" in run(host)


def test_history_has_no_cost(host: Host) -> None:
    """It is unknown, in total, by day and by job, and no zero."""
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
    found = ask(host)
    assert (found.cost.dollars, found.cost_per_job, found.success_rate) == (None, None, None)
    assert [(line.name, line.cost.dollars) for line in found.spend] == [("history", None)]
    assert found.gaps == [Gap("history", None, None, 1)]
    page = run(host)
    assert "$" not in page
    assert page.count("unknown") >= 5
    assert "1 run from before telemetry, whose cost is not known" in page
    assert json.loads(run(host, "--json"))["cost"] == {"pico": 0, "dollars": None, "complete": False}


def test_calls_outside_any_run_alone(host: Host, engine: Engine) -> None:
    """That is said, and which lines to add."""
    run_storage.deliver(engine, orphans(*[call("unattributed") for _ in range(12)]))
    found = ask(host)
    assert (found.runs, found.orphan_calls, found.has_only_orphans) == (0, 12, True)
    assert found.cost == Money(12 * 210_000_000)
    page = run(host)
    assert "No run was begun: 12 calls to OpenAI were made outside any run." in page
    assert 'with telemetry.run("analysis", user_id=user.id) as run:' in page
    run_storage.deliver(engine, Fragment(opened_at=NOW - HOUR).calls(call()).close())
    assert not ask(host).has_only_orphans
    assert "No run was begun" not in run(host)


def test_one_user(spent: Host) -> None:
    """Their runs, jobs and calls alone."""
    found = ask(spent, user_id=2)
    assert (found.jobs, [user.user for user in found.active_users]) == (2, [2])
    assert found.cost == Money(3_100_000_000_000)
    assert [model.cost.pico for model in found.models] == [3_100_000_000_000]
    assert {job.user for job in found.latest} == {2}
    assert run(spent, "--user", "2").startswith("Analyses from")
    assert "of user 2" in run(spent, "--user", "2")


@pytest.mark.parametrize("glob", [FINE_TUNED, "ft:*", "ft:gpt-?o-*"])
def test_one_model(spent: Host, glob: str) -> None:
    """The runs that called it, with what they spent on it."""
    found = ask(spent, model=glob)
    assert [model.name for model in found.models] == [FINE_TUNED]
    assert (found.jobs, found.calls) == (1, 1)
    assert found.cost == Money(0, complete=False)
    assert [(line.name, line.cost.pico) for line in found.spend] == [("interrupted", 0)]
    assert [(job.status, job.calls, job.cost.dollars) for job in found.latest] == [("interrupted", 1, None)]


def test_the_other_model(spent: Host) -> None:
    """What is missing of one model is not missing of another, but where a run's end was not seen."""
    found = ask(spent, model="gpt-4o-mini", days=2)
    assert sum(line.cost.pico for line in found.spend) == found.cost.pico == ask(spent).cost.pico
    assert Gap("unpriced", FINE_TUNED, 1) not in found.gaps
    by_status = {job.status: job.cost for job in found.latest}
    assert by_status["interrupted"] == Money(7_000_000)
    assert by_status["running"] == Money(123_456_789_012, complete=False)
    assert by_status["failed"] == Money(3_000_000_000_001)


@pytest.mark.parametrize("glob", ["gpt-4o", "*4o", "100%", "gpt_4o_mini"])
def test_a_model_nobody_called(spent: Host, glob: str) -> None:
    """It has a glob's letters alone: no other sign stands for any letter."""
    assert ask(spent, model=glob).is_empty
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
def test_options_that_contradict_each_other(host: Host, options: str) -> None:
    """One line says which, and what is wrong with them."""
    words = [word.strip("'") for word in options.split()]
    assert CONTRADICTIONS[options] in run(host, *words, status=2)


def test_from_a_day_to_another(host: Host, engine: Engine) -> None:
    """The first is in it, the last is not; without the first, 30 days or --days before the last."""
    for day in range(1, 5):
        opened = int(datetime(2026, 10, day, 12, tzinfo=UTC).timestamp()) * SECOND
        run_storage.deliver(engine, Fragment(opened_at=opened).calls(call()).close())
    found = ask(host, since=date(2026, 10, 2), until=date(2026, 10, 4))
    assert (found.first, found.last) == (date(2026, 10, 2), date(2026, 10, 3))
    assert [(period.first.day, period.jobs) for period in found.periods] == [(2, 1), (3, 1)]
    assert ask(host, 2, until=date(2026, 10, 3)).jobs == 2
    assert ask(host, until=date(2026, 10, 3)).first == date(2026, 9, 3)
    assert json.loads(run(host, "--since", "2026-10-01", "--until", "2026-10-04", "--json"))["jobs"] == 3


def test_all_days_are_there(host: Host, engine: Engine) -> None:
    """Days on which nothing happened, too: as such, and not as zeros."""
    run_storage.deliver(engine, Fragment(opened_at=NOW - 3 * 24 * HOUR).calls(call()).close())
    page = run(host, "--days", "7").split("Days\n")[1].split("\n\n")[0]
    lines = page.splitlines()[1:]
    assert len(lines) == 7
    assert sum(line.split()[2:] == ["–"] * 5 for line in lines) == 6
    assert "Weeks\n" in run(host, "--days", "365")
    assert "Months\n" in run(host, "--days", "3660")


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(1, 4000))
def test_every_day_is_in_one_period(first: date, length: int) -> None:
    """They follow one another, from the first day to the last: at most 31 days, 54 weeks, or months."""
    last = first + timedelta(days=length - 1)
    found = list(parts(first, last))
    assert (found[0][0], found[-1][1]) == (first, last)
    assert all(after - before == timedelta(days=1) for (_, before), (after, _) in pairwise(found))
    assert len(found) <= {"day": 31, "week": 54, "month": 133}[unit(first, last)]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
def test_days_of_a_time_zone(host: Host, engine: Engine, zone: str) -> None:
    """Also those of 23 and 25 hours, and of half an hour: each run is on its own day."""
    begun = [datetime(2026, 10, 4, 12, tzinfo=UTC) + timedelta(minutes=45 * n) for n in range(160)]
    for when in begun[::8]:
        run_storage.deliver(engine, Fragment(opened_at=int(when.timestamp()) * SECOND).close("cancelled"))
    settings = Settings(database_url=host.url, timezone=zone)
    found = report(settings, 30, since=date(2026, 10, 1), until=date(2026, 10, 20))
    days = [when.astimezone(ZoneInfo(zone)).date() for when in begun[::8]]
    assert {period.first: period.jobs for period in found.periods if period.jobs} == {
        day: days.count(day) for day in days
    }


def test_as_few_questions_as_possible(host: Host, engine: Engine) -> None:
    """As many for ten years as for two days."""
    run_storage.deliver(engine, Fragment(opened_at=NOW - HOUR).calls(call(pico=None)).close())

    def statements(days: int) -> int:
        count = 0

        def counting(*_: Any) -> None:
            nonlocal count
            count += 1

        sa.event.listen(Engine, "before_cursor_execute", counting)
        try:
            ask(host, days=days)
        finally:
            sa.event.remove(Engine, "before_cursor_execute", counting)
        return count

    assert statements(2) == statements(3660) < 20


def test_kinds_of_429_and_of_what_is_missing(host: Host, engine: Engine) -> None:
    """Each is counted as what it is; what there is none of has no column."""
    assert "no quota" not in run(host)
    fragment = Fragment(opened_at=NOW - HOUR).calls(call(), call(pico=None), call(pico=None))
    run_storage.deliver(engine, fragment.close())
    host.execute("UPDATE telemetry_stage_usage SET quota_hits = 3, spend_limit_hits = 4")
    host.execute("UPDATE telemetry_stage_usage SET unmodelled = 1 WHERE unpriced > 0")
    found = ask(host)
    assert (found.rate_limit_hits, found.quota_hits, found.spend_limit_hits) == (0, 6, 8)
    assert {(gap.reason, gap.calls) for gap in found.gaps} == {("unpriced", 1), ("unmodelled", 1)}
    page = run(host)
    assert "429: no quota 6" in page and "429: spend limit 8" in page
    assert "1 call of gpt-4o-mini not billed by tokens" in page
