"""Projection (T2 and T3): what the host's rows show, and that the host never waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.privacy.document_key import document_key
from exporters.rollup.snapshot import Snapshot
from exporters.sql.database.engine import create_engine
from exporters.sql.host import write as host_write
from exporters.sql.projection.behind import lagging_analyses, lagging_users
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.schema import migrate
from exporters.sql.storage import interruptions
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.intake import claim_intake
from tests.exporters.makers import (
    CREATED,
    KEY,
    SECOND,
    START,
    Fragment,
    Host,
    call,
    moment,
    visit,
)
from tests.migrations.databases import create_host

DONE, BUSY, MISSING, FILES_PENDING = (
    Projection.DONE,
    Projection.BUSY,
    Projection.MISSING,
    Projection.FILES_PENDING,
)


class Writer:
    """The three transactions, one after the other."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.rows = HostRows(engine, KEY)

    def deliver(self, *snapshots: Snapshot) -> None:
        for snapshot in snapshots:
            run_storage.deliver(self.engine, snapshot)

    def project(self, analysis_id: int = 1) -> Projection:
        return self.rows.project_analysis(analysis_id)

    def refresh(self, user_id: int = 1) -> Projection:
        return self.rows.project_user(user_id)


@pytest.fixture
def writer(host: Host, engine: Engine) -> Writer:
    """The writer's transactions on a host with one user."""
    host.add_user()
    return Writer(engine)


def a_run(analysis_id: int | None = 1, **known: Any) -> Fragment:
    """An analysis of two files."""
    known = {"user_id": 1, "candidates": 2, "criteria": 4, "jd_bytes": 10, "jd_characters": 9} | known
    fragment = Fragment(analysis_id=analysis_id, **known)
    fragment.calls(call(pico=3 * 10**9), call("insights", pico=10**9))
    return fragment.documents(
        visit("a.pdf", size=5, characters=100, type="pdf", score=0.85, extraction_ns=2 * SECOND),
        visit("b.pdf", size=7, characters=200, type="pdf", error_type="ValueError", analysis_ns=SECOND // 2),
    )


def add_analysis(host: Host, id: int = 1, **known: Any) -> None:
    host.add_analysis(id, **known)
    host.add_file(id, "a.pdf", b"12345")
    host.add_file(id, "b.pdf", b"1234567")


# Values


def test_a_user_id_that_fits_no_column_is_limited(host: Host, engine: Engine, writer: Writer) -> None:
    """The largest possible id stands for it in the run's row, and the host has no such user."""
    final = Fragment(user_id=2**70).close()
    deliveries = [run_storage.deliver(engine, final) for _ in range(2)]

    assert (
        {delivery.user_id for delivery in deliveries}
        == {host.row("telemetry_runs")["user_ref"]}
        == {2**63 - 1}
    )
    assert writer.refresh(2**63 - 1) is Projection.MISSING


def test_an_analysis_shows_its_run(host: Host, writer: Writer) -> None:
    """The host's row shows cost, times and results of its run."""
    add_analysis(host)
    writer.deliver(a_run().close())
    assert writer.project() is DONE
    row = host.row("analyses")

    assert (row["status"], row["api_calls_made"], row["total_tokens_used"]) == ("partial_failure", 2, 2200)
    assert Decimal(str(row["total_api_cost"])) == Decimal("0.004")
    assert (row["jd_file_size_bytes"], row["jd_character_count"]) == (10, 9)
    assert (row["avg_resume_character_count"], row["max_resume_character_count"]) == (150, 200)
    assert (float(row["avg_overall_score"]), row["candidates_above_70_percent"]) == (0.85, 1)
    assert Decimal(str(row["cost_per_candidate"])) == Decimal("0.002")
    assert Decimal(str(row["cost_per_criterion"])) == Decimal("0.001")
    assert (row["insights_generated_count"], Decimal(str(row["insights_api_cost"]))) == (1, Decimal("0.001"))
    assert {stage: Decimal(cost) for stage, cost in json.loads(row["cost_breakdown"]).items()} == {
        "ranking": Decimal("0.003"),
        "insights": Decimal("0.001"),
    }


def test_a_stage_that_did_not_happen_is_null(host: Host, writer: Writer) -> None:
    """What was never measured is not shown as zero."""
    add_analysis(host)
    writer.deliver(Fragment(analysis_id=1, user_id=1, candidates=2).calls(call()).close())
    writer.project()
    row = host.row("analyses")

    for column in ("insights_generated_count", "embedding_generation_time", "avg_overall_score"):
        assert row[column] is None, column


def test_all_runs_of_an_analysis_add_up(host: Host, writer: Writer) -> None:
    """Intake and late runs add to the cost of an analysis, but not to its documents."""
    add_analysis(host)
    extra = [
        Fragment(kind=kind, analysis_id=1, user_id=1).calls(call(pico=10**9)) for kind in ("intake", "late")
    ]
    writer.deliver(a_run().close(), *(fragment.close() for fragment in extra))
    writer.project()
    row = host.row("analyses")

    assert (row["api_calls_made"], Decimal(str(row["total_api_cost"]))) == (4, Decimal("0.006"))
    assert (row["status"], row["candidates_above_70_percent"]) == ("partial_failure", 1)


def test_a_run_under_way_is_not_shown(host: Host, writer: Writer) -> None:
    """Checkpoints never touch the host's rows."""
    add_analysis(host)
    before = host.row("analyses")
    writer.deliver(a_run().snapshot())
    writer.project()

    assert host.row("analyses") == before


def test_an_interruption_is_shown_and_withdrawn(host: Host, writer: Writer) -> None:
    """A row that showed its run as interrupted is corrected when the run turns out to go on."""
    add_analysis(host)
    fragment = a_run()
    checkpoint = fragment.snapshot()
    writer.deliver(checkpoint)
    interruptions.interrupt_process(writer.engine, checkpoint.process_id)
    writer.project()
    assert host.row("analyses")["status"] == "interrupted"

    delivered = run_storage.deliver(writer.engine, fragment.snapshot())
    assert delivered.is_shown
    writer.project()
    assert host.row("analyses")["status"] == "running"
    writer.deliver(fragment.close())
    writer.project()
    assert host.row("analyses")["status"] == "partial_failure"


def test_only_columns_that_telemetry_added_are_written(database_url: str) -> None:
    """A column that the host had before keeps its value, even if telemetry has one of that name."""
    create_host(database_url)
    migrate.upgrade(database_url)
    host, engine = Host(database_url), create_engine(database_url)
    tables = ("analyses", "candidate_files", "users")
    before = {table: host.rows(table) for table in tables}
    writer = Writer(engine)
    final = Fragment(analysis_id=1, user_id=1, candidates=2, jd_characters=9).calls(call())
    writer.deliver(final.documents(visit("cv.txt", chunks=99, characters=5)).close())
    assert (writer.project(), writer.refresh()) == (DONE, DONE)
    engine.dispose()

    row = host.row("analyses", id=1)
    assert (row["jd_character_count"], float(row["total_api_cost"]), row["status"]) == (1234, 0.57, "done")
    assert (row["api_calls_made"], row["num_candidates"]) == (1, 3)
    file, user = host.row("candidate_files"), host.row("users")
    assert (file["chunk_count"], file["resume_character_count"]) == (4, 5)
    assert (user["total_jobs_run"], user["total_candidates_analyzed"]) == (7, 2)
    for table in tables:
        for old, new in zip(before[table], host.rows(table), strict=True):
            changed = {name for name in old if old[name] != new[name]}
            assert changed <= writer.rows.columns.columns[table]


def test_figures_that_the_host_computes_are_left_alone(host: Host, writer: Writer) -> None:
    """They are in four columns that the host had before."""
    add_analysis(host)
    host.execute(
        "UPDATE analyses"
        " SET exceeded_resume_limit = true, processing_duration_seconds = 7, user_chose_override = true"
    )
    writer.deliver(a_run().close())
    writer.project()
    row = host.row("analyses")

    assert (row["exceeded_resume_limit"], row["processing_duration_seconds"]) == (True, 7)
    assert (row["completed_at"], float(row["cost_usd"])) == (None, 1.0)


def test_a_job_description_is_measured_by_its_intake(host: Host, writer: Writer) -> None:
    """If the analysis has no sizes of it, the last intake that has them counts."""
    add_analysis(host)
    intake: dict[str, Any] = {"kind": "intake", "subject": "draft:1", "user_id": 1}
    writer.deliver(Fragment(**intake, jd_bytes=5, jd_characters=4, opened_at=START).close())
    writer.deliver(Fragment(**intake, jd_bytes=7, jd_characters=6, opened_at=START + SECOND).close())
    writer.deliver(Fragment(**intake, opened_at=START + 2 * SECOND).close())
    analysis = Fragment(subject="draft:1", user_id=1, analysis_id=1, opened_at=START + 3 * SECOND)
    final = analysis.close()
    writer.deliver(final)
    assert len(claim_intake(writer.engine, final.run_id)) == 3
    writer.project()
    row = host.row("analyses")

    assert (row["jd_file_size_bytes"], row["jd_character_count"]) == (7, 6)


# Rows that are late, deleted or another's


def test_a_run_waits_for_its_row_and_files(host: Host, writer: Writer) -> None:
    """It is lagging once they exist, and only then."""
    writer.deliver(a_run().close())
    assert writer.project() is MISSING
    assert lagging_analyses(writer.engine) == [], "no attempt is worth its while yet"

    host.add_analysis()
    assert lagging_analyses(writer.engine) == [1]
    assert writer.project() is FILES_PENDING
    assert host.row("analyses")["api_calls_made"] == 2
    assert lagging_analyses(writer.engine) == []

    host.add_file(1, "a.pdf")
    assert writer.project() is DONE
    assert host.row("candidate_files")["resume_character_count"] == 100


def test_a_run_of_a_deleted_row_is_never_projected_again(host: Host, writer: Writer) -> None:
    """This holds even if another row gets the same id."""
    add_analysis(host)
    run = a_run()
    final = run.close()
    writer.deliver(final)
    writer.project()
    host.execute("DELETE FROM candidate_files")
    host.execute("DELETE FROM analyses")
    late = Fragment(final.run_id, is_root=False, closed_at=START).calls(call())
    writer.deliver(late.snapshot())
    assert writer.project() is DONE

    add_analysis(host)
    assert writer.project() is DONE
    assert host.row("analyses")["api_calls_made"] is None
    assert lagging_analyses(writer.engine) == []


def test_a_row_with_a_reused_id_shows_only_its_own_run(host: Host, writer: Writer) -> None:
    """SQLite gives the ids of deleted rows to new ones, which have nothing to do with the old runs."""
    add_analysis(host)
    old = a_run().close()
    writer.deliver(old)
    writer.project()
    host.execute("DELETE FROM candidate_files")
    host.execute("DELETE FROM analyses")
    add_analysis(host, created_at=CREATED + timedelta(minutes=1))
    writer.deliver(Fragment(old.run_id, is_root=False, closed_at=START).calls(call()).snapshot())
    assert writer.project() is DONE
    assert host.row("analyses")["api_calls_made"] is None

    writer.deliver(a_run().close())
    assert writer.project() is DONE
    assert host.row("analyses")["api_calls_made"] == 2, "the new row shows its own run alone"


@pytest.mark.parametrize("late", [False, True])
def test_a_row_created_after_the_run_is_not_its_own(host: Host, writer: Writer, late: bool) -> None:
    """Clocks may differ by minutes; a row created later than that belongs to another run."""
    final = a_run(opened_at=time.time_ns()).close()
    created = moment(final.closed_at or 0) + timedelta(minutes=6 if late else 4)
    add_analysis(host, created_at=created)
    writer.deliver(final)
    writer.project()

    assert host.row("analyses")["api_calls_made"] == (None if late else 2)


@pytest.mark.parametrize("died", [False, True])
def test_a_clock_set_forward_during_a_run_is_tolerated(host: Host, writer: Writer, died: bool) -> None:
    """The row may be an hour newer than the run's end, unless the process was found dead."""
    an_hour_behind = a_run(opened_at=time.time_ns() - 3600 * SECOND)
    add_analysis(host, created_at=moment(time.time_ns()))
    last_snapshot = an_hour_behind.snapshot(interrupted=True) if died else an_hour_behind.close()
    writer.deliver(last_snapshot)
    assert host.row("telemetry_runs")["status"] == ("interrupted" if died else "partial_failure")
    writer.project()

    assert host.row("analyses")["api_calls_made"] == (None if died else 2)


def test_times_with_a_time_zone_are_converted(host: Host, writer: Writer) -> None:
    """They are compared and stored as UTC, whatever the time zone of the session."""
    add_analysis(host)
    with_time_zone(host, "analyses", "users")
    writer.deliver(a_run().close())

    assert (writer.project(), writer.project(), writer.refresh()) == (DONE, DONE, DONE)
    assert host.row("analyses")["api_calls_made"] == 2
    assert host.row("telemetry_runs")["analysis_created_at"] == CREATED
    assert host.row("telemetry_users")["created_at"] == CREATED


def with_time_zone(host: Host, *tables: str) -> None:
    """Make these tables hold the creation times of their rows with another zone than UTC."""
    for table in tables:
        if not host.is_postgresql:
            host.execute(f"UPDATE {table} SET created_at = '2026-09-21 14:00:00+02:00'")
            continue
        change = "TYPE timestamptz USING timezone('utc', created_at)"
        host.execute(f"ALTER TABLE {table} ALTER created_at {change}")
    if host.is_postgresql:
        host.execute(f"ALTER DATABASE {host.engine.url.database} SET timezone = 'Europe/Berlin'")


def test_a_row_of_another_user_is_not_written(host: Host, writer: Writer) -> None:
    """A link to an analysis of another user is a mistake, and shows on no row."""
    host.add_user(2)
    add_analysis(host, user_id=2)
    writer.deliver(a_run().close())

    assert writer.project() is DONE
    assert host.row("analyses")["api_calls_made"] is None
    assert lagging_analyses(writer.engine) == []


# Files


def shown(host: Host) -> dict[int, int | None]:
    return {row["id"]: row["resume_character_count"] for row in host.rows("candidate_files")}


def test_files_are_matched_by_the_hash_of_their_names(host: Host, writer: Writer) -> None:
    """A row of a file shows the figures of the document of that name; telemetry stores no names."""
    add_analysis(host)
    host.add_file(1, "never seen.pdf")
    writer.deliver(a_run().close())
    writer.project()
    a, b, other = host.rows("candidate_files")

    assert (a["resume_file_size_bytes"], a["resume_character_count"], a["resume_file_type"]) == (
        5,
        100,
        "pdf",
    )
    assert (float(a["extraction_duration_seconds"]), a["processing_error"]) == (2.0, False)
    assert (b["processing_error"], b["error_message"]) == (True, "ValueError")
    assert float(b["analysis_duration_seconds"]) == 0.5
    assert (other["resume_character_count"], other["processing_error"]) == (None, None)
    keys = {row["document_key"] for row in host.rows("telemetry_documents")}
    assert not any("a.pdf" in key for key in keys)


def test_files_of_one_name_are_distinguished_by_size(host: Host, writer: Writer) -> None:
    """Each of them shows the document of its own size."""
    host.add_analysis()
    for content in (b"1234567", b"12345"):
        host.add_file(1, "cv.pdf", content)
    run = Fragment(analysis_id=1, user_id=1)
    run.documents(visit("cv.pdf", size=5, characters=55), visit("cv.pdf", size=7, characters=77))
    writer.deliver(run.close())
    writer.project()

    assert shown(host) == {1: 77, 2: 55}


def test_files_are_matched_by_row_id_first(host: Host, writer: Writer) -> None:
    """A row id that the application passed comes before any name."""
    host.add_analysis()
    for id in (7, 8):
        host.add_file(1, "cv.pdf", id=id)
    run = Fragment(analysis_id=1, user_id=1)
    run.documents(visit("x", row_id=8, characters=88), visit("y", row_id=7, characters=77))
    writer.deliver(run.close())
    writer.project()

    assert shown(host) == {7: 77, 8: 88}


def test_another_key_matches_no_file(host: Host, writer: Writer) -> None:
    """Without the secret, documents cannot be matched by name."""
    add_analysis(host)
    writer.deliver(a_run().close())
    HostRows(writer.engine, b"another").project_analysis(1)

    assert set(shown(host).values()) == {None}
    assert document_key(KEY, "run", "a") != document_key(b"another", "run", "a")


def test_an_intake_moves_to_the_first_analysis_when_that_arrives_late(
    host: Host, engine: Engine, writer: Writer
) -> None:
    """Then the rows of both analyses show their own costs."""
    add_analysis(host, 1)
    add_analysis(host, 2)
    intake = Fragment(kind="intake", subject="draft:1", user_id=1).calls(call(pico=5 * 10**9)).close()
    second = a_run(2, subject="draft:1", opened_at=intake.opened_at + 200 * SECOND).close()
    first = a_run(1, subject="draft:1", opened_at=intake.opened_at + 100 * SECOND).close()
    for snapshot in (intake, second, first):
        writer.deliver(snapshot)
        claim_intake(engine, snapshot.run_id)
        for analysis in lagging_analyses(engine):
            assert writer.project(analysis) is not Projection.BUSY

    assert [host.row("analyses", id=id)["api_calls_made"] for id in (1, 2)] == [3, 2]
    costs = [host.row("analyses", id=id)["total_api_cost"] for id in (1, 2)]
    assert [float(cost) for cost in costs] == [0.009, 0.004]
    assert {row["projected_version"] == row["version"] for row in host.rows("telemetry_runs")} == {True}


def test_a_file_shows_figures_of_intake_and_analysis(host: Host, writer: Writer) -> None:
    """Its extraction was part of the intake, its ranking of the analysis."""
    add_analysis(host)
    intake = Fragment(kind="intake", analysis_id=1, user_id=1)
    intake.documents(visit("a.pdf", size=5, extraction_ns=3 * SECOND, chunks=4))
    writer.deliver(intake.close(), a_run().close())
    writer.project()
    row = host.row("candidate_files", file_name="a.pdf")

    assert (float(row["extraction_duration_seconds"]), row["chunk_count"]) == (5.0, 4)
    assert row["processing_error"] is False or row["processing_error"] == 0


# Users


def test_totals_of_a_user_equal_the_sums_of_the_runs(host: Host, writer: Writer) -> None:
    """A user's row shows the jobs, candidates and spending of all runs of the user."""
    host.add_user(2)
    sizes = (2, 5, 11)
    runs = [a_run(None, candidates=size, opened_at=START + size * SECOND) for size in sizes]
    intake = Fragment(kind="intake", user_id=1).calls(call(pico=10**9))
    others = a_run(None, user_id=2, candidates=100)
    synthetic = a_run(None, synthetic=True, candidates=100)
    writer.deliver(*(run.close() for run in (*runs, intake, others, synthetic)))
    assert writer.refresh() is DONE
    user = host.row("users", id=1)

    assert (user["total_jobs_run"], user["total_candidates_analyzed"]) == (3, 18)
    assert Decimal(str(user["total_api_spend"])) == Decimal("0.013")
    assert (float(user["avg_candidates_per_job"]), user["largest_batch_processed"]) == (6.0, 11)
    assert user["last_active_date"] == moment(START + 11 * SECOND)
    assert host.row("users", id=2)["total_jobs_run"] is None


def test_users_with_outdated_totals_are_lagging(host: Host, writer: Writer) -> None:
    """If a process ends before it has summed up a user, the next one does; a missing user is tried once."""
    run, nobodys = a_run(), a_run(None, user_id=99)
    writer.deliver(run.snapshot())
    assert lagging_users(writer.engine) == []

    writer.deliver(run.close(), nobodys.close())
    assert sorted(lagging_users(writer.engine)) == [1, 99]

    assert (writer.refresh(), writer.refresh(99)) == (DONE, MISSING)
    assert lagging_users(writer.engine) == []


def test_an_analysis_is_lagging_once_its_late_files_are_stored(host: Host, writer: Writer) -> None:
    """If a process ends before the host has stored the files, a later one projects them."""
    host.add_analysis(created_at=moment(time.time_ns()))
    writer.deliver(a_run(opened_at=time.time_ns()).close())
    assert writer.project() is FILES_PENDING
    assert lagging_analyses(writer.engine) == [], "every process that starts would try all of them in vain"

    host.add_file(1, "a.pdf")
    assert lagging_analyses(writer.engine) == [1]


def test_a_missing_user_is_no_error(writer: Writer) -> None:
    """The user was deleted, or is not committed yet."""
    assert writer.refresh(99) is MISSING


# A host that is busy


Statement = Callable[[Writer], Projection]
HELD = [
    ("SELECT id FROM analyses FOR UPDATE", Writer.project),
    ("UPDATE analyses SET job_title = 'x'", Writer.project),
    ("SELECT id FROM candidate_files WHERE file_name = 'b.pdf' FOR UPDATE", Writer.project),
    ("UPDATE candidate_files SET candidate_name = 'x'", Writer.project),
    ("SELECT id FROM users FOR UPDATE", Writer.refresh),
    ("UPDATE users SET name = 'x'", Writer.refresh),
]


@pytest.mark.parametrize(("statement", "transaction"), HELD, ids=[statement for statement, _ in HELD])
def test_locked_rows_are_projected_later(postgres_host: Host, statement: str, transaction: Statement) -> None:
    """The writer does not wait for a row that the host has locked, and updates it once it is free."""
    engine = create_engine(postgres_host.url)
    postgres_host.add_user()
    add_analysis(postgres_host)
    writer = Writer(engine)
    writer.deliver(a_run().close())
    with postgres_host.holding(statement) as connection:
        outcome = transaction(writer)  # it would wait for ever: the host commits below
        assert outcome is not DONE
        connection.execute(sa.text("UPDATE users SET last_seen = now()"))
        connection.execute(sa.text("UPDATE analyses SET completed_at = now()"))

    assert transaction(writer) is DONE
    assert postgres_host.row("users")["last_seen"] is not None
    if transaction is Writer.project:
        assert postgres_host.row("analyses")["api_calls_made"] == 2
        assert set(shown(postgres_host).values()) == {100, 200}
    engine.dispose()


DEADLOCK_SECONDS = 30
"""After which PostgreSQL looks for a deadlock: long, so that a busy machine is not taken for one."""


def test_the_host_is_never_the_victim_of_a_deadlock(postgres_host: Host) -> None:
    """A host that locks its rows in any order commits every time, while the writer writes without a pause."""
    name = sa.make_url(postgres_host.url).database
    postgres_host.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '{DEADLOCK_SECONDS}s'")
    postgres_host.engine.dispose()
    postgres_host.add_user()
    add_analysis(postgres_host)
    engine = create_engine(postgres_host.url)
    writer = Writer(engine)
    writer.deliver(a_run().close())
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            writer.project()
            writer.refresh()

    thread = Thread(target=write)
    thread.start()
    orders = [
        ("UPDATE users SET name = 'x'", "UPDATE candidate_files SET candidate_name = 'x'"),
        ("UPDATE candidate_files SET candidate_name = 'y'", "UPDATE analyses SET job_title = 'y'"),
        ("UPDATE analyses SET job_title = 'z'", "UPDATE users SET name = 'z'"),
    ]
    slowest = 0.0
    try:
        for first, second in orders * 15:
            started = time.monotonic()
            with postgres_host.holding(first) as connection:
                time.sleep(0.005)
                connection.execute(sa.text(second))
            slowest = max(slowest, time.monotonic() - started)
    finally:
        stop.set()
        thread.join()
        engine.dispose()

    assert slowest < DEADLOCK_SECONDS, "nor does the host wait for us"


@pytest.mark.parametrize("transaction", [Writer.project, Writer.refresh])
def test_a_host_at_repeatable_read_can_update_what_it_has_read(
    postgres_host: Host, monkeypatch: pytest.MonkeyPatch, transaction: Statement
) -> None:
    """The writer leaves its rows alone until it ends, unless it lasts for very long."""
    engine = create_engine(postgres_host.url)
    postgres_host.add_user()
    add_analysis(postgres_host)
    writer = Writer(engine)
    writer.deliver(a_run().close())
    postgres_host.engine = sa.create_engine(
        postgres_host.url, poolclass=sa.NullPool, isolation_level="REPEATABLE READ"
    )
    with postgres_host.holding("SELECT * FROM analyses") as connection:
        assert transaction(writer) is BUSY
        connection.execute(sa.text("UPDATE users SET last_seen = now()"))
        connection.execute(sa.text("UPDATE analyses SET completed_at = now()"))
    assert transaction(writer) is DONE

    writer.deliver(a_run().close())
    with postgres_host.holding("SELECT * FROM analyses"):
        monkeypatch.setattr(host_write, "COURTESY", timedelta(0))
        assert transaction(writer) is DONE
    engine.dispose()


def test_the_writer_waits_for_a_sqlite_host_that_writes(sqlite_host: Host) -> None:
    """SQLite has one writer at a time: while that is the host, telemetry waits, and the host commits."""
    sqlite_host.add_user()
    add_analysis(sqlite_host)
    engine = create_engine(sqlite_host.url)
    writer = Writer(engine)
    writer.deliver(a_run().close())
    outcomes: list[Projection] = []
    thread = Thread(target=lambda: outcomes.append(writer.project()))
    with sqlite_host.holding("UPDATE analyses SET job_title = 'written'"):
        thread.start()
        time.sleep(0.2)
        assert outcomes == []
    thread.join()
    engine.dispose()

    assert outcomes == [DONE]
    row = sqlite_host.row("analyses")
    assert (row["job_title"], row["api_calls_made"]) == ("written", 2)
