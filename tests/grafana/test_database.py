"""Every query of a panel runs on a real PostgreSQL, in the role for dashboards."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from exporters.export.jobs import Export
from exporters.export.selection import BATCH_SIZES, SEGMENTS
from exporters.reports.figures import report
from exporters.reports.shape import Report
from grafana.boards.common.shared import INCOMPLETE
from grafana.parts.dashboard import DAYS
from grafana.parts.expansion import Moment, expand
from telemetry.settings import Settings
from tests.grafana.conftest import Database
from tests.grafana.dashboards import ALL, Target, each_dashboard, has_filters, sql_targets, variables

Reader = psycopg.Connection[tuple[object, ...]]
NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric"}
TIMES = {"timestamp", "timestamptz", "int8", "float8", "numeric"}
PROBE = "o'x"
"""A value that breaks out of quotes unless it is escaped."""


def moments() -> Iterator[Moment]:
    """Yield what a reader may choose: all segments and sizes in all periods, a user, a model, an analysis."""
    choices = [
        {**ALL, "segment": segment, "batch_size": size} for segment in SEGMENTS for size in BATCH_SIZES
    ]
    choices += [{**ALL, "user": "1"}, {**ALL, "model": "gpt-4o-mini"}, {**ALL, "analysis": "7"}]
    choices += [dict.fromkeys(ALL, PROBE)]
    for chosen, days in itertools.product(choices, DAYS):
        yield Moment.last(days, chosen)


def ask(connection: Reader, target: Target, moment: Moment) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """Return the rows and the description of their columns."""
    try:
        done = connection.execute(expand(target.sql, moment).encode())
        return done.fetchall(), list(done.description or ())
    except psycopg.Error as error:
        pytest.fail(f"{target.name} with {moment.values}: {error}", pytrace=False)


def by_name(targets: list[Target]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("target", targets, ids=lambda target: target.name.replace("analysis-", ""))


@by_name(sql_targets())
def test_each_query_answers_every_question(reader: Reader, target: Target) -> None:
    """D21: whatever the filters and the period are; unfiltered, there is something to see."""
    for moment in moments():
        rows, _ = ask(reader, target, moment)
        if moment.values == ALL and moment.end - moment.start > timedelta(days=300):
            assert rows and any(value is not None for row in rows for value in row), target.name


def test_nothing_fails_on_an_empty_database(empty: Database) -> None:
    """D21: nor is anything divided by zero."""
    with psycopg.connect(empty.reader_url, autocommit=True) as connection:
        for target in sql_targets():
            for days in DAYS:
                ask(connection, target, Moment.last(days, ALL))


@by_name([target for target in sql_targets() if target.query["format"] == "time_series"])
def test_courses_begin_with_the_time(reader: Reader, target: Target) -> None:
    """D22: in order; there are figures, and at most one column of text: the name of the series."""
    rows, description = ask(reader, target, Moment.last(365, ALL))
    kinds = {column.name: psycopg.adapters.types.get(column.type_code) for column in description}
    names = {name: kind.name if kind else "" for name, kind in kinds.items()}
    assert next(iter(names)) == "time" and names["time"] in TIMES
    assert [name for name, kind in names.items() if kind in ("text", "varchar")] in ([], ["metric"])
    assert {kind for name, kind in names.items() if name not in ("time", "metric")} <= NUMBERS
    times = [row[0] for row in rows]
    assert times == sorted(times)


def test_choices_of_variables_run(reader: Reader) -> None:
    """The lists of users and models begin with all of them."""
    for dashboard in each_dashboard():
        for variable in variables(dashboard).values():
            if str(variable.get("query")).startswith("SELECT"):
                rows = reader.execute(variable["query"].encode()).fetchall()
                assert rows[0] == ("all", "All") and len(rows) > 1


# One figure everywhere


def year() -> Moment:
    """Return the last 365 days, the last of which is today."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Moment(today - timedelta(days=364), today + timedelta(days=1) - timedelta(microseconds=1), ALL)


@pytest.fixture(scope="module")
def yearly(filled: Database) -> Report:
    """The report of the same days."""
    return report(Settings(database_url=filled.url, cache_seconds=0), 365)


def figure(reader: Reader, title: str, moment: Moment, uid: str) -> tuple[Any, ...]:
    """Return the only row of a panel."""
    (target,) = [each for each in sql_targets() if each.uid == uid and each.panel["title"] == title]
    (row,) = ask(reader, target, moment)[0]
    return row


@pytest.mark.parametrize("days", DAYS)
def test_panel_report_and_export_agree(filled: Database, reader: Reader, days: int) -> None:
    """On what was spent, to the pico-dollar, and on whether that is all."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=days - 1)
    moment = Moment(start, today + timedelta(days=1) - timedelta(microseconds=1), ALL)
    reported = report(Settings(database_url=filled.url, cache_seconds=0), days)
    exported = sum(job["cost_pico"] for job in Export(filled.url, since=start.replace(tzinfo=None)).rows())
    outside = Decimal(123456789012)  # calls outside any run, which are no job

    cost, incomplete = figure(reader, "API cost", moment, "analysis-cost")
    assert cost == reported.cost.dollars == (exported + outside) / 10**12
    assert (incomplete == 0) is reported.cost.complete


Figure = Callable[[Report], Any]


def spent(report: Report, name: str) -> Decimal:
    """Return what was spent on something."""
    return sum((line.cost.dollars or Decimal(0) for line in report.spend if line.name == name), Decimal(0))


SAME: list[tuple[str, str, int, Figure]] = [
    ("overview", "Success rate", 0, lambda report: report.success_rate),
    ("overview", "Health score", 0, lambda report: report.health_score),
    ("overview", "Totals", 0, lambda report: report.jobs),
    ("overview", "Totals", 1, lambda report: report.users),
    ("overview", "Totals", 2, lambda report: report.candidates),
    ("overview", "Candidates of a job", 0, lambda report: report.batch.mean),
    ("overview", "Candidates of a job", 1, lambda report: report.batch_median),
    ("overview", "Candidates of a job", 2, lambda report: report.batch.most),
    ("overview", "Processing time", 0, lambda report: report.seconds.mean),
    ("overview", "Processing time", 1, lambda report: report.seconds.least),
    ("overview", "Processing time", 2, lambda report: report.seconds.most),
    ("cost", "Wasted", 0, lambda report: sum(line.cost.dollars for line in report.spend if line.wasted)),
    ("cost", "Wasted", 1, lambda report: spent(report, "failed") + spent(report, "interrupted")),
    ("cost", "Wasted", 2, lambda report: spent(report, "repeated")),
    ("cost", "Cost of one", 0, lambda report: report.cost_per_job),
    ("cost", "Cost of one", 1, lambda report: report.cost_per_candidate),
    ("resume-quality", "Length of résumés", 0, lambda report: report.resume_characters.mean),
    ("resume-quality", "Length of résumés", 2, lambda report: report.resume_characters.most),
    ("resume-quality", "Length of job descriptions", 0, lambda report: report.jd_characters.mean),
    ("users", "Users", 0, lambda report: report.users),
    ("users", "Override rate", 0, lambda report: report.override_rate),
    ("users", "Override rate", 1, lambda report: report.over_limit),
    ("users", "Advice on the limit", 0, lambda report: report.advice),
    ("errors", "Failed jobs", 0, lambda report: report.failed),
    ("errors", "Failed jobs", 1, lambda report: report.interrupted),
    ("errors", "Failed jobs", 2, lambda report: report.partial_failures),
    ("performance", "API response time", 0, lambda report: report.response_seconds),
]


@pytest.mark.parametrize(
    ("uid", "title", "place", "of_report"), SAME, ids=[" ".join(map(str, each[:3])) for each in SAME]
)
def test_panels_show_what_the_report_says(
    yearly: Report, reader: Reader, uid: str, title: str, place: int, of_report: Figure
) -> None:
    """The report computes it in another way."""
    shown, said = figure(reader, title, year(), f"analysis-{uid}")[place], of_report(yearly)
    assert said is not None
    assert shown == said if isinstance(said, str) else float(shown) == pytest.approx(float(said), rel=1e-9)


def test_rows_add_up_to_the_report(yearly: Report, reader: Reader) -> None:
    """Sizes, statuses, users, rate limits and types of errors."""

    def column(title: str, place: int) -> list[Any]:
        (target,) = [each for each in sql_targets() if each.panel["title"] == title]
        return [row[place] for row in ask(reader, target, year())[0]]

    assert dict(zip(column("Jobs by size", 0), column("Jobs by size", 1), strict=True)) == yearly.batches
    assert sum(column("Jobs per day", 2)) == yearly.jobs
    assert column("Most active users", 1) == [user.jobs for user in yearly.active_users]
    assert column("Most active users", 3) == [user.cost.dollars for user in yearly.active_users]
    assert column("Latest 20 jobs", 0) == [job.analysis for job in yearly.latest]
    assert sum(column("By stage and model", 3)) == yearly.rate_limit_hits
    assert sum(column("When rate limits occur", 2)) == column("Affected jobs", 0)[0]
    assert sum(column("Errors by type", 1)) == sum(column("Errors over time", 2))
    known = b"SELECT count(*) FROM telemetry_run_documents WHERE characters IS NOT NULL"
    assert reader.execute(known).fetchall() == [(sum(column("Résumés by length", 1)),)] != [(0,)]


def test_one_analysis_costs_what_its_report_says(filled: Database, reader: Reader) -> None:
    """What is no id is none; it never shows another analysis."""
    for given in ("870", " 870 "):
        said = report(Settings(database_url=filled.url, cache_seconds=0), 1, analysis_id=870)
        moment = Moment.last(30, {**ALL, "analysis": given})
        assert figure(reader, "What it cost", moment, "analysis-one")[0] == said.cost.dollars
    (target,) = [each for each in sql_targets() if each.name == "analysis-one: What it is A"]
    for given in ("870; DROP TABLE users", "A-870", "870b", "9" * 19):
        assert ask(reader, target, Moment.last(30, {**ALL, "analysis": given}))[0] == [], given


def test_stages_add_up_to_the_total(reader: Reader) -> None:
    """The ring of stages shows all money, and so do models and purposes."""
    moment = Moment.last(365, ALL)
    total = figure(reader, "API cost", moment, "analysis-cost")[0]
    for title in (
        "Cost by stage",
        "Cost by model",
        "Cost by kind of token",
        "What became of the money",
        "Cost over time",
    ):
        (target,) = [each for each in sql_targets() if each.panel["title"] == title]
        rows = [row for row in ask(reader, target, moment)[0] if INCOMPLETE not in row]
        place = 2 if title == "Cost over time" else 1
        assert sum(row[place] for row in rows) == total, title


def test_rings_have_few_slices(reader: Reader) -> None:
    """D39: at most eight, whatever there is."""
    for target in sql_targets():
        if target.panel["type"] == "piechart":
            assert 0 < len(ask(reader, target, Moment.last(365, ALL))[0]) <= 8, target.name


def test_filters_take_effect(reader: Reader) -> None:
    """Segments and sizes are parts of the whole; sizes and users add up to it."""

    def jobs(**chosen: str) -> Decimal:
        return figure(reader, "API cost", Moment.last(365, {**ALL, **chosen}), "analysis-cost")[0] or Decimal(
            0
        )

    outside = Decimal(123456789012) / 10**12
    assert sum(jobs(batch_size=size) for size in BATCH_SIZES[1:]) == jobs() - outside
    for segment in SEGMENTS[1:]:
        assert jobs(segment=segment) < jobs()
    assert 0 < jobs(segment="power")
    users = reader.execute(b"SELECT user_ref FROM telemetry_user_segments").fetchall()
    assert sum(jobs(user=str(user)) for (user,) in users) == jobs() - outside
    assert jobs(model="gpt-4o-mini") == jobs()
    assert jobs(model=PROBE) == 0


def test_dashboards_with_filters_are_those_of_analytics() -> None:
    assert {each["uid"] for each in each_dashboard() if not has_filters(each)} <= {
        "analysis-one",
        "analysis-telemetry",
    }
