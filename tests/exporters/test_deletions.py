"""Hosts delete analyses and accounts in bulk: telemetry never makes that fail, and keeps only its totals."""

from __future__ import annotations

from datetime import timedelta
from threading import Event, Thread
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.sql.database.engine import create_engine
from exporters.sql.projection.behind import lagging_analyses, lagging_users
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.storage import runs as run_storage
from exporters.upkeep.sweep import Swept, sweep
from tests.exporters.makers import CREATED, KEY, SOME_HOSTS, Fragment, Host, call

HOSTS = SOME_HOSTS

EVERYTHING = ("DELETE FROM candidate_files", "DELETE FROM analyses", "DELETE FROM users")
SPENT = "SELECT SUM(cost_pico), SUM(runs) FROM telemetry_spend"


def add_rows(host: Host) -> None:
    """Two users with two analyses each."""
    for user in (1, 2):
        host.add_user(user)
    for row, user in ((1, 1), (2, 1), (3, 2), (4, 2)):
        host.add_analysis(row, user)
        host.add_file(row, "a.pdf")


def run_all(engine: Engine) -> None:
    """Deliver one analysis for each row, and a failed one that never had a row."""
    rows = HostRows(engine, KEY)
    for row, user in ((1, 1), (2, 1), (3, 2), (4, 2), (None, 2)):
        fragment = Fragment(analysis_id=row, user_id=user).calls(call(pico=10**9))
        run_storage.deliver(engine, fragment.close("completed" if row else "failed"))
        if row:
            rows.project_analysis(row)
    for user in (1, 2):
        rows.project_user(user)


def one(host: Host, query: str) -> tuple[Any, ...]:
    with host.engine.connect() as connection:
        return tuple(connection.execute(sa.text(query)).one())


def test_a_failed_run_without_a_row_is_in_every_total(host: Host, engine: Engine) -> None:
    """It counts for its user and for the day."""
    add_rows(host)
    run_all(engine)

    assert [row["total_jobs_run"] for row in host.rows("users")] == [2, 3]
    assert [float(row["total_api_spend"]) for row in host.rows("users")] == [0.002, 0.003]
    assert one(host, SPENT) == (5 * 10**9, 5)


def test_spending_outlives_the_rows_that_it_was_for(host: Host, engine: Engine) -> None:
    """Totals keep it; runs of deleted rows are marked, and no longer looked for."""
    add_rows(host)
    run_all(engine)
    for statement in EVERYTHING:
        host.execute(statement)

    assert sweep(engine) == Swept(runs=4, warnings=0)
    assert sweep(engine) == Swept(runs=0, warnings=0)
    runs = host.rows("telemetry_runs")
    assert all(bool(run["analysis_gone"]) == (run["analysis_ref"] is not None) for run in runs)
    assert one(host, SPENT) == (5 * 10**9, 5)
    assert one(host, "SELECT COUNT(*) FROM telemetry_analysis_spend") == (0,)
    assert (lagging_analyses(engine), lagging_users(engine)) == ([], [])


def test_a_run_whose_account_is_deleted_before_its_end_counts(host: Host, engine: Engine) -> None:
    """The run is stored and counted, and its user's row is looked for once."""
    run_storage.deliver(engine, Fragment(user_id=7).calls(call(pico=10**9)).close())

    assert HostRows(engine, KEY).project_user(7) is Projection.MISSING
    assert lagging_users(engine) == []
    assert one(host, SPENT) == (10**9, 1)


def test_a_row_that_never_came_is_still_waited_for(host: Host, engine: Engine) -> None:
    """It may be committed late: only a row that was seen once counts as deleted."""
    run_storage.deliver(engine, Fragment(analysis_id=9).close())

    assert sweep(engine).runs == 0
    host.add_user()
    host.add_analysis(9)
    assert lagging_analyses(engine) == [9]


def test_a_run_does_not_take_a_new_row_with_an_old_id(host: Host, engine: Engine) -> None:
    """The run's own row is deleted, though another has its id."""
    add_rows(host)
    run_all(engine)
    host.execute("DELETE FROM candidate_files WHERE analysis_id = 4")
    host.execute("DELETE FROM analyses WHERE id = 4")
    host.add_analysis(4, 2, created_at=CREATED + timedelta(hours=1))

    assert sweep(engine).runs == 1
    assert host.row("telemetry_runs", analysis_ref=4)["analysis_gone"]
    assert host.row("analyses", id=4)["api_calls_made"] is None


def test_warnings_are_deleted_with_their_analysis(host: Host, engine: Engine) -> None:
    """Also on SQLite, which does not cascade by itself; warnings without an analysis stay."""
    add_rows(host)
    for number, (analysis, user) in enumerate([(1, 1), (3, 2), (None, 1), (None, None)]):
        known = {"analysis_id": analysis, "user_id": user, "warning_type": "batch_too_large"}
        host.insert("document_warnings", id=number + 1, warning_shown_at=CREATED, **known)
    host.execute("DELETE FROM candidate_files WHERE analysis_id = 3")
    host.execute("DELETE FROM analyses WHERE id = 3")

    swept = sweep(engine)
    assert swept.warnings == (0 if host.is_postgresql else 1)
    assert [row["id"] for row in host.rows("document_warnings")] == [1, 3, 4]


def test_a_host_that_deletes_while_the_writer_works_is_never_refused(postgres_host: Host) -> None:
    """The host deletes everything again and again, and the writer loses nothing."""
    engine, over = create_engine(postgres_host.url), Event()
    delivered: list[str] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not over.is_set():
                run_all(engine)
                delivered.append("round")
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=work)
    thread.start()
    try:
        while len(delivered) < 8 and not failures:
            add_rows(postgres_host)
            over.wait(0.05)
            with postgres_host.engine.begin() as connection:
                for statement in EVERYTHING:
                    connection.execute(sa.text(statement))
    finally:
        over.set()
        thread.join()
        engine.dispose()

    assert failures == []
    assert one(postgres_host, SPENT) == (5 * len(delivered) * 10**9, 5 * len(delivered))
