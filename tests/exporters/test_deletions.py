"""Hosts delete analyses and accounts in bulk: it never fails because of us, and leaves nothing behind."""

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
    """An analysis for each row, and a failed one that never had any."""
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
    """Of its user, and of the day."""
    add_rows(host)
    run_all(engine)

    assert [row["total_jobs_run"] for row in host.rows("users")] == [2, 3]
    assert [float(row["total_api_spend"]) for row in host.rows("users")] == [0.002, 0.003]
    assert one(host, SPENT) == (5 * 10**9, 5)


def test_everything_is_deleted(host: Host, engine: Engine) -> None:
    """What was spent stays in the totals; no run belongs to a row that is gone, nor is it asked for again."""
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


def test_an_account_is_gone_before_its_run_ends(host: Host, engine: Engine) -> None:
    """The run is stored, counted, and asked for once."""
    run_storage.deliver(engine, Fragment(user_id=7).calls(call(pico=10**9)).close())

    assert HostRows(engine, KEY).project_user(7) is Projection.MISSING
    assert lagging_users(engine) == []
    assert one(host, SPENT) == (10**9, 1)


def test_a_row_that_never_came_is_still_waited_for(host: Host, engine: Engine) -> None:
    """It may be committed late: only what was seen once is gone."""
    run_storage.deliver(engine, Fragment(analysis_id=9).close())

    assert sweep(engine).runs == 0
    host.add_user()
    host.add_analysis(9)
    assert lagging_analyses(engine) == [9]


def test_an_id_that_was_given_to_another_row(host: Host, engine: Engine) -> None:
    """The run's own row is gone, though there is one with its id."""
    add_rows(host)
    run_all(engine)
    host.execute("DELETE FROM candidate_files WHERE analysis_id = 4")
    host.execute("DELETE FROM analyses WHERE id = 4")
    host.add_analysis(4, 2, created_at=CREATED + timedelta(hours=1))

    assert sweep(engine).runs == 1
    assert host.row("telemetry_runs", analysis_ref=4)["analysis_gone"]
    assert host.row("analyses", id=4)["api_calls_made"] is None


def test_warnings_go_with_their_owners(host: Host, engine: Engine) -> None:
    """Also on SQLite, which does not cascade by itself; those without an analysis stay."""
    add_rows(host)
    for number, (analysis, user) in enumerate([(1, 1), (3, 2), (None, 1), (None, None)]):
        known = {"analysis_id": analysis, "user_id": user, "warning_type": "batch_too_large"}
        host.insert("document_warnings", id=number + 1, warning_shown_at=CREATED, **known)
    host.execute("DELETE FROM candidate_files WHERE analysis_id = 3")
    host.execute("DELETE FROM analyses WHERE id = 3")

    swept = sweep(engine)
    assert swept.warnings == (0 if host.is_postgresql else 1)
    assert [row["id"] for row in host.rows("document_warnings")] == [1, 3, 4]


def test_deletions_while_the_writer_is_at_work(postgres_host: Host) -> None:
    """A host that deletes everything, again and again, is never refused, and the writer loses nothing."""
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
