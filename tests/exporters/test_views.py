"""The views hold the rules that dashboards, exports and reports share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, ProgrammingError

from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.schema import tables
from exporters.sql.storage import runs as run_storage
from telemetry import conventions
from telemetry.cli.group import cli
from telemetry.pricing.prices import Price
from tests.exporters.makers import CREATED, KEY, SECOND, SOME_HOSTS, Fragment, Host, call, visit

HOSTS = SOME_HOSTS

NOW = int(datetime.now(UTC).timestamp()) * SECOND
DAY = 86_400 * SECOND


def rows(host: Host, query: str) -> list[dict[str, Any]]:
    with host.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def job(engine: Engine, analysis_id: int | None = None, user_id: int = 1, **known: Any) -> None:
    """Deliver an analysis, and project it into the host's rows."""
    known = {"opened_at": NOW, "candidates": 3} | known
    fragment = Fragment(analysis_id=analysis_id, user_id=user_id, **known).calls(call(pico=2 * 10**12))
    run_storage.deliver(engine, fragment.close())
    rows = HostRows(engine, KEY)
    if analysis_id is not None:
        assert rows.project_analysis(analysis_id) is Projection.DONE
    rows.project_user(user_id)


@pytest.mark.parametrize("candidates", [None, 0, 1, 50, 51, 150, 151, 250])
def test_batch_sizes_are_those_of_the_metrics(sqlite_host: Host, candidates: int | None) -> None:
    """The rule is the same in SQL and in Python."""
    engine = create_engine(sqlite_host.url)
    job(engine, candidates=candidates)
    (row,) = rows(sqlite_host, "SELECT batch_size FROM telemetry_jobs")
    assert row["batch_size"] == conventions.batch_size(candidates)


def test_a_job_has_its_cost_and_duration(host: Host, engine: Engine) -> None:
    """They are in dollars and seconds; runs that are no analysis are no jobs."""
    host.add_user()
    job(engine)
    run_storage.deliver(engine, Fragment(kind="intake", user_id=1, opened_at=NOW).close())
    run_storage.deliver(engine, Fragment(user_id=1, opened_at=NOW, synthetic=True).close())

    (row,) = rows(host, "SELECT * FROM telemetry_jobs")
    assert (float(row["cost_dollars"]), float(row["duration_seconds"])) == (2, 1)
    assert (row["cost_pico"], bool(row["cost_complete"])) == (2 * 10**12, True)


def test_users_are_new_active_or_power_users(host: Host, engine: Engine) -> None:
    """New: created in the last 30 days; active: a run in 30 days; power: ten jobs."""
    for user in (1, 2, 3):
        host.add_user(user)
    days_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=3)
    host.execute("UPDATE users SET created_at = :then WHERE id = 1", then=days_ago)
    host.execute("UPDATE users SET created_at = :then WHERE id > 1", then=CREATED - timedelta(days=400))
    job(engine, user_id=1)
    job(engine, user_id=2, opened_at=NOW - 40 * DAY)
    for _ in range(10):
        job(engine, user_id=3)

    segments = {row["user_ref"]: row for row in rows(host, "SELECT * FROM telemetry_user_segments")}
    flags = ("is_new_user", "is_active_user", "is_power_user")
    assert [[bool(segments[user][flag]) for flag in flags] for user in (1, 2, 3)] == [
        [True, True, False],
        [False, False, False],
        [False, True, True],
    ]
    assert (segments[3]["jobs"], segments[3]["candidates"], float(segments[3]["cost_dollars"])) == (
        10,
        30,
        20,
    )
    jobs = rows(host, "SELECT DISTINCT user_ref, is_power_user FROM telemetry_jobs ORDER BY user_ref")
    assert [bool(row["is_power_user"]) for row in jobs] == [False, False, True]


def test_a_deleted_user_has_no_segment(host: Host, engine: Engine) -> None:
    """The user's jobs stay in the view of jobs."""
    host.add_user()
    job(engine)
    host.execute("DELETE FROM users")
    HostRows(engine, KEY).project_user(1)

    assert rows(host, "SELECT * FROM telemetry_user_segments") == []
    (row,) = rows(host, "SELECT is_power_user, is_active_user FROM telemetry_jobs")
    assert not row["is_active_user"]


def test_limits_and_overrides_come_from_the_host_or_its_warnings(host: Host, engine: Engine) -> None:
    """Columns of the host come first; where they are NULL, its warnings decide."""
    host.add_user()
    for row in (1, 2, 3):
        host.add_analysis(row)
    host.execute("UPDATE analyses SET exceeded_resume_limit = true, user_chose_override = false WHERE id = 1")
    for row in (1, 2):
        known = {"analysis_id": row, "user_id": 1, "warning_type": "batch_too_large"}
        host.insert("document_warnings", id=row, warning_shown_at=CREATED, user_action="override", **known)
    for row in (1, 2, 3):
        job(engine, row)

    query = "SELECT analysis_ref, exceeded_resume_limit e, user_chose_override o FROM telemetry_jobs"
    flags = {row["analysis_ref"]: (bool(row["e"]), bool(row["o"])) for row in rows(host, query)}
    assert flags == {1: (True, False), 2: (True, True), 3: (False, False)}


def test_a_job_has_the_price_of_the_host(host: Host, engine: Engine) -> None:
    """Copied to the millionth of a dollar; a job without a row has none."""
    host.add_user()
    host.add_analysis()
    host.execute("UPDATE analyses SET cost_usd = 1234.57")
    job(engine, 1)
    job(engine)
    prices = rows(
        host, "SELECT analysis_ref, price_pico FROM telemetry_jobs ORDER BY analysis_ref NULLS LAST"
    )
    assert [tuple(row.values()) for row in prices] == [(1, 1_234_570_000_000_000), (None, None)]


def test_costs_of_stages_sum_to_those_of_jobs(host: Host, engine: Engine) -> None:
    """The money by stage and model is that of the runs."""
    job(engine)
    (stages,) = rows(host, "SELECT SUM(cost_pico) AS pico, SUM(calls) AS calls FROM telemetry_stages")
    (jobs,) = rows(host, "SELECT SUM(cost_pico) AS pico, SUM(api_calls) AS calls FROM telemetry_jobs")
    assert (
        (int(stages["pico"]), int(stages["calls"]))
        == (int(jobs["pico"]), int(jobs["calls"]))
        == (2 * 10**12, 1)
    )


def test_stages_have_their_time_in_the_run(host: Host, engine: Engine) -> None:
    """From when to when, over all processes that take part."""
    run_id = f"{7:032x}"
    for is_root, opened, closed in ((True, 0, 5), (False, 2, 9)):
        fragment = Fragment(run_id, opened_at=NOW + opened * SECOND, is_root=is_root)
        fragment.accumulator.stage_started("ranking", NOW + (opened + 1) * SECOND)
        fragment.accumulator.stage_ended("ranking", NOW + closed * SECOND)
        run_storage.deliver(engine, fragment.close(ends_run=not is_root))
    (row,) = rows(host, "SELECT opened_seconds, closed_seconds, duration_seconds FROM telemetry_stages")
    assert tuple(map(float, row.values())) == (1, 9, 4 + 6)


def test_stages_know_what_the_cache_saved(host: Host, engine: Engine) -> None:
    """It is added up as the cost is, and as what is for output; neither is known of another price."""
    saving = call()
    saving.price = Price(100, "genai-prices", "1", 30, 40)
    run_storage.deliver(engine, Fragment(opened_at=NOW).calls(saving, saving).close())
    query = "SELECT saved_pico, output_pico, cost_pico FROM telemetry_stages"
    (row,) = rows(host, query)
    assert (row["saved_pico"], row["output_pico"], row["cost_pico"]) == (60, 80, 200)
    host.execute("UPDATE telemetry_stage_usage SET repriced_pico = 90")
    (row,) = rows(host, query)
    assert (row["saved_pico"], row["output_pico"], row["cost_pico"]) == (None, None, 90)


def test_documents_have_no_name(host: Host, engine: Engine) -> None:
    """Of a document the view has figures; those of synthetic runs are left out."""
    seen = visit("anna.pdf", score=0.5, size=10, characters=7, type="pdf")
    for synthetic in (False, True):
        fragment = Fragment(user_id=1, opened_at=NOW, synthetic=synthetic).documents(seen)
        run_storage.deliver(engine, fragment.close())

    (row,) = rows(host, "SELECT * FROM telemetry_run_documents")
    assert (row["type"], row["size_bytes"], row["characters"], row["outcome"]) == ("pdf", 10, 7, "scored")
    assert "document_key" not in row and "row_ref" not in row


@pytest.mark.parametrize(
    ("extraction", "analysis", "seconds"),
    [(None, None, None), (1_000_000, None, 1), (None, 2_000_000, 2), (1_000_000, 2_000_000, 3)],
)
def test_the_time_of_a_document_is_what_is_known(
    sqlite_host: Host, extraction: int | None, analysis: int | None, seconds: float | None
) -> None:
    """Unknown times are no zeros."""
    engine = create_engine(sqlite_host.url)
    run_storage.deliver(engine, Fragment(opened_at=NOW).documents(visit()).close())
    sqlite_host.execute(
        "UPDATE telemetry_documents SET extraction_us = :extraction, analysis_us = :analysis",
        extraction=extraction,
        analysis=analysis,
    )
    (row,) = rows(sqlite_host, "SELECT processing_seconds FROM telemetry_run_documents")
    assert row["processing_seconds"] == seconds


def test_errors_are_rows(host: Host, engine: Engine) -> None:
    """Each type of error in a stage of a run is one; a run without errors has none."""
    for errors in (
        '[{"stage": "ranking", "type": "ValueError", "count": 2}, {"stage": "", "type": "E", "count": 1}]',
        None,
    ):
        job(engine)
        host.execute(
            "UPDATE telemetry_runs SET error_types = :errors WHERE error_types IS NULL", errors=errors
        )

    found = rows(host, "SELECT stage, error_type, errors FROM telemetry_errors ORDER BY errors")
    assert [tuple(row.values()) for row in found] == [("", "E", 1), ("ranking", "ValueError", 2)]


@pytest.mark.parametrize(
    ("statement", "issues"),
    [
        ("UPDATE telemetry_runs SET duration_us = 15000000", set()),
        ("UPDATE telemetry_runs SET duration_us = 15000003", {"is_slow"}),
        ("UPDATE telemetry_runs SET status = 'interrupted'", {"has_failed"}),
        ("UPDATE telemetry_stage_usage SET duration_us = 5000001", {"has_slow_answers"}),
        ("INSERT INTO telemetry_counters SELECT run_id, 'app_retries', 5 FROM telemetry_runs", set()),
        (
            "INSERT INTO telemetry_counters SELECT run_id, 'app_retries', 6 FROM telemetry_runs",
            {"has_many_retries"},
        ),
        (
            "INSERT INTO telemetry_counters SELECT run_id, 'fallbacks', 4 FROM telemetry_runs",
            {"has_many_fallbacks"},
        ),
        ("UPDATE telemetry_runs SET candidates = NULL, duration_us = NULL", set()),
    ],
)
def test_issues_of_a_job(host: Host, engine: Engine, statement: str, issues: set[str]) -> None:
    """Each threshold of the health score is passed, not reached."""
    job(engine)
    host.execute(statement)
    (row,) = rows(host, "SELECT * FROM telemetry_job_issues")
    flags = ("has_failed", "has_slow_answers", "is_slow", "has_many_retries", "has_many_fallbacks")
    assert {name for name in flags if row[name]} == issues
    assert bool(row["has_issue"]) == bool(issues)


def test_all_views_are_listed(host: Host) -> None:
    """The list decides what the role may read, and what is documented."""
    assert set(sa.inspect(host.engine).get_view_names()) == set(tables.VIEWS)


# The role


@pytest.fixture
def reader(postgres_host: Host) -> Iterator[Host]:
    """The host's database, with the role for dashboards."""
    done = CliRunner().invoke(
        cli, ["db", "role", "--name", "read'er"], env={"TELEMETRY_DATABASE_URL": postgres_host.url}
    )
    assert done.exit_code == 0, done.output
    with postgres_host.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        driver.cursor().execute(done.output)
        driver.cursor().execute(done.output)  # it may be repeated
    url = sa.make_url(postgres_host.url).set(username="read'er")
    yield Host(url.render_as_string(hide_password=False))
    postgres_host.execute("""DROP OWNED BY "read'er\"""")
    postgres_host.execute("""DROP ROLE "read'er\"""")


def test_the_role_reads_every_view_and_nothing_else(postgres_host: Host, reader: Host) -> None:
    """It can read no table, of telemetry or of the host, and change nothing."""
    for view in tables.VIEWS:
        rows(reader, f"SELECT * FROM {view}")

    for table in sa.inspect(postgres_host.engine).get_table_names():
        with pytest.raises(ProgrammingError, match="permission denied"):
            rows(reader, f"SELECT * FROM {table}")
    for statement in ("DELETE FROM telemetry_warnings", "CREATE TABLE own (id int)"):
        with pytest.raises(DBAPIError, match="permission denied|read-only"):
            reader.execute(statement)


def test_other_databases_have_no_roles(sqlite_host: Host) -> None:
    """One line of the command says so."""
    done = CliRunner().invoke(cli, ["db", "role"], env={"TELEMETRY_DATABASE_URL": sqlite_host.url})
    assert (done.exit_code, done.output) == (1, "Error: sqlite has no roles; only PostgreSQL does\n")
