"""Everyday queries find their rows by index, however long the history, as PostgreSQL's plans show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from examples.screener.history.history import History
from examples.screener.history.writing import write
from exporters.export.jobs import Export
from exporters.findings.insights import insights
from exporters.gauges.figures import DAYS, TODAY
from exporters.gauges.query import found
from exporters.reports import report
from exporters.sql.database.engine import create_engine
from exporters.sql.projection import behind
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import migrate
from exporters.sql.storage import interruptions
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.intake import claim_intake
from exporters.sql.storage.warning_requests import UserWarnings
from exporters.upkeep.health_log import HealthCheck
from telemetry.settings import Settings
from tests.exporters.makers import KEY, SECOND, Fragment, call, visit
from tests.postgres import TemporaryPostgres

ANALYSES = 30_000
LARGE = {
    *("telemetry_runs", "telemetry_stage_usage", "telemetry_fragments", "telemetry_documents"),
    *("telemetry_counters", "document_warnings", "analyses", "candidate_files"),
}
"""Tables that grow with every analysis."""
MORE = (
    """INSERT INTO telemetry_fragments
    (run_id, fragment_id, seq, is_root, process_id, schema_v, opened_at, closed_at, seen_at)
    SELECT run_id, run_id, 2, TRUE, 'p0', 1, started_at, ended_at, ended_at FROM telemetry_runs""",
    """INSERT INTO telemetry_documents (run_id, document_key, ordinal, outcome)
    SELECT run_id, 'k', 0, 'scored' FROM telemetry_runs""",
    "INSERT INTO telemetry_counters SELECT run_id, 'fallbacks', 1 FROM telemetry_runs",
    """INSERT INTO document_warnings (user_id, analysis_id, warning_type, warning_shown_at, user_action)
    SELECT user_id, id, 'batch_too_large', created_at, 'continued' FROM analyses""",
    """INSERT INTO candidate_files (analysis_id, file_name, file_bytes, extracted_text, created_at)
    SELECT id, 'cv.pdf', 'x', 'x', created_at FROM analyses""",
)
"""Rows that an import of history does not make, but real use does."""


class Plans:
    """Collects the plans of all statements that are executed while it watches."""

    def __init__(self) -> None:
        self.scans: list[str] = []
        self.statements = 0

    def explain(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, _: Any, many: bool
    ) -> None:
        if not statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            return
        self.statements += 1
        given = parameters[0] if many else parameters
        own = cursor.connection.cursor()
        for single in statement.split("; "):  # updates of the host's rows are sent as one string
            if single.startswith("SELECT set_config('synchronous_commit'"):
                own.execute(single.replace(", true)", ", false)"))  # the other statements need these values
                continue
            own.execute(f"EXPLAIN (FORMAT JSON) {single}", given or None)
            (explained,) = own.fetchone()
            (plan,) = json.loads(explained) if isinstance(explained, str) else explained
            tables = [
                node["Relation Name"] for node in nodes(plan["Plan"]) if node["Node Type"] == "Seq Scan"
            ]
            self.scans += [f"{table}: {single}" for table in tables if table in LARGE]

    @contextmanager
    def watching(self) -> Iterator[Plans]:
        sa.event.listen(Engine, "before_cursor_execute", self.explain)
        try:
            yield self
        finally:
            sa.event.remove(Engine, "before_cursor_execute", self.explain)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


@pytest.fixture(scope="module")
def url(postgres: TemporaryPostgres) -> Iterator[str]:
    """A database with years of analyses, and current statistics."""
    url = postgres.create_database()
    migrate.upgrade(url, with_base_tables=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    write(engine, History(ANALYSES, datetime.now(UTC).date()))
    with engine.begin() as connection:
        for statement in MORE:
            connection.exec_driver_sql(statement)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    yield url
    postgres.drop_database(url)


@pytest.fixture
def settings(url: str) -> Settings:
    return Settings(database_url=url, hmac_key=KEY.decode())


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def by_index() -> Iterator[None]:
    """Watch the statements of a test, none of which may scan a table that grows."""
    plans = Plans()
    with plans.watching():
        yield
    assert plans.statements > 0
    assert plans.scans == []


def test_a_sequential_scan_is_noticed(engine: Engine) -> None:
    """So the other tests would fail if there were one."""
    with Plans().watching() as plans, engine.connect() as connection:
        connection.execute(sa.text("SELECT COUNT(*) FROM telemetry_runs WHERE n_scored > :n"), {"n": 7})
    assert [scan.partition(":")[0] for scan in plans.scans] == ["telemetry_runs"]


@pytest.mark.usefixtures("by_index")
def test_gauges(settings: Settings) -> None:
    """They are queried again and again, by a process that has other things to do."""
    reading = create_engine(settings.database_url, for_reading=True)
    values = found(reading, settings, (*TODAY, *DAYS)).values
    reading.dispose()
    assert values["analysis.yesterday.jobs"] > 0


@pytest.mark.usefixtures("by_index")
def test_the_report_of_a_week_uses_indexes(settings: Settings) -> None:
    """It includes stages, users, the health score and the latest jobs."""
    assert report(settings, 7).jobs > 50


@pytest.mark.usefixtures("by_index")
def test_the_latest_failures_use_indexes(settings: Settings) -> None:
    """They are few, and searched for in the period only."""
    assert report(settings, 7, failed=True).jobs > 50


@pytest.mark.usefixtures("by_index")
def test_the_report_of_an_analysis_uses_indexes(settings: Settings) -> None:
    """It does not depend on a period."""
    assert report(settings, 1, analysis_id=17).jobs == 1


@pytest.mark.usefixtures("by_index")
def test_insights_use_indexes(settings: Settings) -> None:
    """They read thirty days, and the weekdays of four weeks."""
    insights(settings)


@pytest.mark.usefixtures("by_index")
def test_a_day_of_the_log_uses_indexes(settings: Settings) -> None:
    """It includes the jobs that were under way on that day."""
    with HealthCheck(settings) as check:
        (day,) = check.log(check.yesterday(), check.yesterday())
    assert day.total_candidates_processed > 0


@pytest.mark.usefixtures("by_index")
@pytest.mark.parametrize("selection", [{}, {"batch_size": "large"}, {"segment": "power"}])
def test_an_export_of_days_uses_indexes(settings: Settings, selection: dict[str, Any]) -> None:
    """Both its rows and their number do, whatever else is selected."""
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=7)
    with Export(settings.database_url, since=since, **selection) as jobs:
        assert len(list(jobs.rows())) == jobs.count()


@pytest.mark.usefixtures("by_index")
def test_searching_for_lagging_rows_uses_indexes(engine: Engine) -> None:
    """Every process does so when it starts, and after commits of the host."""
    assert behind.lagging_analyses(engine) == []
    assert behind.lagging_users(engine) == []


@pytest.mark.usefixtures("by_index")
def test_searching_for_dead_runs_uses_indexes(engine: Engine) -> None:
    """The daily check does so, and a takeover."""
    assert interruptions.interrupt_stale(engine, timedelta(hours=1)) == []
    assert interruptions.interrupt_process(engine, "p1") == []


@pytest.mark.usefixtures("by_index")
def test_the_transactions_of_the_writer_use_indexes(engine: Engine) -> None:
    """A run is delivered, projected into its row and added to its user."""
    opened = int((datetime.now(UTC) - timedelta(hours=1)).timestamp()) * SECOND
    known: dict[str, Any] = {"analysis_id": 29_000, "user_id": 7, "subject": "draft/1", "opened_at": opened}
    fragment = Fragment(**known).calls(call()).documents(visit("cv.pdf", score=0.5))
    snapshot = fragment.close()
    run_storage.deliver(engine, snapshot)
    claim_intake(engine, snapshot.run_id)
    rows = HostRows(engine, KEY)
    rows.project_analysis(29_000)
    rows.project_user(7)


@pytest.mark.usefixtures("by_index")
def test_warnings_use_indexes(settings: Settings) -> None:
    """One is counted against its user's daily limit, and answered."""
    warnings = UserWarnings(settings)
    warning = warnings.add(7, "batch_too_large")
    answer = warnings.answer(7, warning, "continued")
    assert answer == ("batch_too_large", True)
    warnings.close()
