"""The writer delivers every run in the end, and the host never waits, whatever the database does."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telemetry
from exporters.process.pipeline import Pipeline
from exporters.process.spool_keeper import SpoolKeeper
from exporters.rollup.snapshot import SCHEMA_VERSION
from exporters.sql.database import fork_gate
from exporters.sql.database.engine import create_engine
from exporters.sql.schema import migrate
from exporters.sql.storage import interruptions
from exporters.sql.storage import runs as run_storage
from telemetry._internal.guard import internal_errors
from telemetry.conventions import EVENTS, VALUES_COERCED, WRITER_FAILURES
from telemetry.settings import Settings
from telemetry.testing import recording
from tests import fresh
from tests.exporters.makers import CREATED, Fragment, Host, call
from tests.exporters.test_spool import give, kill, leave_behind, move_to_spool_of, other_process
from tests.postgres import TemporaryPostgres
from tests.spool import ANOTHER_USER, closed, files
from tests.waiting import until

# How connections begin, break and are kept differs between drivers, and behind a pooler.
EVERY_HOST = True

ROOT = Path(__file__).parents[2]
MUCH_LONGER = 60.0
"""Seconds that are more than a busy machine takes, and less than a wait for what never comes."""
Record = Callable[..., Pipeline]


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def record(spool_dir: Path) -> Iterator[Record]:
    """A function that starts to record, with checkpoints at short intervals."""
    with ExitStack() as stack:

        def start(url: str, provider: TracerProvider | None = None, **settings: Any) -> Pipeline:
            chosen = {
                "database_url": url,
                "spool_dir": spool_dir,
                "hmac_key": "secret",
                "checkpoint_seconds": 0.1,
                "shutdown_seconds": 0.2,
            }
            pipeline: Pipeline = stack.enter_context(recording(Settings(**{**chosen, **settings}), provider))
            return pipeline

        yield start


@pytest.fixture(scope="module")
def fragile() -> Iterator[TemporaryPostgres]:
    """A server that these tests stop and start."""
    with TemporaryPostgres() as server:
        yield server


def statuses(host: Host) -> list[str]:
    return [row["status"] for row in host.rows("telemetry_runs")]


def writer_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "telemetry-writer"]


def test_a_run_reaches_the_database_and_the_hosts_rows(host: Host, record: Record, spool_dir: Path) -> None:
    """It does so without any further call of the application."""
    host.add_user()
    host.add_analysis()
    host.add_file(1, "cv.pdf")
    record(host.url)
    with telemetry.run("analysis", user_id=1) as run, telemetry.document("cv.pdf", characters=9) as document:
        document.score(0.8)
        run.link(1)

    until(lambda: host.row("users")["total_jobs_run"] == 1)
    assert statuses(host) == ["completed"]
    until(lambda: host.row("analyses")["status"] == "completed")
    assert host.row("candidate_files")["resume_character_count"] == 9
    until(lambda: files(spool_dir) == [])


def test_an_open_run_is_delivered_before_its_end(sqlite_host: Host, record: Record) -> None:
    """The database has what the run has done so far."""
    record(sqlite_host.url)
    with telemetry.run("intake"):
        telemetry.count("app_retries", 3)
        until(lambda: [row["value"] for row in sqlite_host.rows("telemetry_counters")] == [3])
        assert statuses(sqlite_host) == ["running"]


def test_an_idle_run_sends_heartbeats(sqlite_host: Host, record: Record) -> None:
    """They show that its process is alive."""
    record(sqlite_host.url, heartbeat_seconds=0.1)
    with telemetry.run("intake"):
        until(lambda: any(row["seq"] >= 4 for row in sqlite_host.rows("telemetry_fragments")))


def test_the_writer_is_not_traced(sqlite_host: Host, record: Record) -> None:
    """Its statements make no spans in the traces of the host."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    pipeline = record(sqlite_host.url, provider)
    with telemetry.run("intake"):
        pass
    assert pipeline.shutdown(10)

    assert [span.name for span in exporter.get_finished_spans()] == ["intake"]


# The database is down


def test_a_database_that_is_down_does_not_stop_the_host(fragile: TemporaryPostgres, record: Record) -> None:
    """A run ends at once while the database is down, and is delivered when it is up again."""
    url = fragile.create_database()
    migrate.upgrade(url, with_base_tables=True)
    fragile.stop()
    try:
        pipeline = record(url)
        for _ in range(3):
            with telemetry.run("intake"):
                telemetry.count("app_retries")
        until(lambda: failures(pipeline) > 0)
        assert pipeline.spool.pending() == 3
        until(lambda: all(waiting.entry is None for waiting in pipeline.spool.due()))
    finally:
        fragile.start()

    until(lambda: statuses(Host(url)) == ["completed"] * 3, 20)
    until(lambda: pipeline.spool.pending() == 0)


def test_a_connection_that_breaks_is_replaced(fragile: TemporaryPostgres, record: Record) -> None:
    """The server may restart between two runs."""
    url = fragile.create_database()
    migrate.upgrade(url, with_base_tables=True)
    record(url)
    with telemetry.run("intake"):
        pass
    until(lambda: statuses(Host(url)) == ["completed"])
    fragile.restart_immediately()
    with telemetry.run("intake"):
        pass

    until(lambda: statuses(Host(url)) == ["completed"] * 2)


def failures(pipeline: Pipeline) -> int:
    return sum(count for _, count in pipeline.metrics.totals.read(WRITER_FAILURES))


def test_runs_are_delivered_once_the_tables_exist(
    database_url: str, record: Record, caplog: pytest.LogCaptureFixture
) -> None:
    """An application that is deployed before its migration loses nothing, and logs one warning."""
    pipeline = record(database_url)
    with telemetry.run("intake"):
        pass
    until(lambda: failures(pipeline) >= 2)
    migrate.upgrade(database_url, with_base_tables=True)

    until(lambda: statuses(Host(database_url)) == ["completed"])
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "telemetry_runs" in line and "\n" not in line


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{listener.getsockname()[1]}/nowhere"


@pytest.mark.parametrize("is_silent", [False, True], ids=["refuses", "never answers"])
def test_the_end_of_the_process_does_not_wait_for_a_dead_database(
    silent_server: str, record: Record, spool_dir: Path, is_silent: bool
) -> None:
    """The process ends in the given time, and what it could not deliver stays in the spool."""
    pipeline = record(silent_server if is_silent else silent_server.replace("127.0.0.1", "127.0.0.2"))
    with telemetry.run("intake"):
        pass
    time.sleep(0.05)
    started = time.monotonic()

    assert pipeline.shutdown(0.5) is False
    assert time.monotonic() - started < MUCH_LONGER
    assert len(files(spool_dir)) == 1


def test_the_end_of_the_process_limits_the_first_connection(
    silent_server: str, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread has not connected before, and the database does not answer."""
    pipeline = record(silent_server)
    assert pipeline.writer
    monkeypatch.setattr(pipeline.writer, "_start", lambda: None)
    with telemetry.run("intake"):
        pass
    started = time.monotonic()

    assert pipeline.shutdown(1) is False
    assert time.monotonic() - started < MUCH_LONGER


def test_the_end_of_the_process_does_not_wait_for_a_lock(postgres_host: Host, record: Record) -> None:
    """The tables are locked while the process ends: its snapshots stay in the spool."""
    pipeline = record(postgres_host.url)
    assert pipeline.writer is not None
    pipeline.writer._database.outage.due = (
        time.monotonic() + 60
    )  # as in an outage: the last attempt is the first
    with telemetry.run("intake"):
        pass
    with postgres_host.engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE telemetry_runs")
        started = time.monotonic()
        assert not pipeline.shutdown(1)
        assert time.monotonic() - started < MUCH_LONGER


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_jumps_keeps_times_and_durations_right(
    sqlite_host: Host, record: Record, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """The clock is set back or forward during a run."""
    record(sqlite_host.url)
    now = time.time_ns
    with telemetry.run("analysis", candidates=1) as run, telemetry.document("cv.pdf") as document:
        document.score(1)
        until(lambda: statuses(sqlite_host) == ["running"])
        monkeypatch.setattr(time, "time_ns", lambda: now() + hours * 3600 * 10**9)
        telemetry.count("app_retries")
        until(lambda: len(sqlite_host.rows("telemetry_counters")) == 1)
    until(lambda: statuses(sqlite_host) == ["completed"])
    row = sqlite_host.row("telemetry_runs")

    assert (row["run_id"], row["n_scored"]) == (run.run_id, 1)
    assert 0 < row["duration_us"] < 60 * 10**6
    lasted = moment_of(row["ended_at"]) - moment_of(row["started_at"])
    assert abs(lasted.total_seconds() - row["duration_us"] / 1e6) < 60


def moment_of(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


def test_the_next_process_delivers_what_is_left_in_the_spool(
    sqlite_host: Host, record: Record, spool_dir: Path
) -> None:
    """It does so even before it has a run of its own."""
    code = f"""
        import telemetry
        from pathlib import Path
        from telemetry.settings import Settings
        from telemetry.testing import recording
        import os
        url, spool_dir = {sqlite_host.url!r}, Path({str(spool_dir)!r})
        settings = Settings(database_url=url, spool_dir=spool_dir, hmac_key="secret")
        with recording(settings) as pipeline:
            pipeline.writer.wake = lambda: None
            with telemetry.run("intake"):
                pass
            telemetry.start_run("intake")
            os._exit(0)
    """
    fresh.run("-c", textwrap.dedent(code), cwd=ROOT).check_returncode()
    assert (statuses(sqlite_host), len(files(spool_dir))) == ([], 2)
    record(sqlite_host.url)

    until(lambda: sorted(statuses(sqlite_host)) == ["completed", "interrupted"])
    until(lambda: files(spool_dir) == [])


def test_the_last_checkpoint_of_a_killed_process_is_delivered(
    sqlite_host: Host, record: Record, spool_dir: Path
) -> None:
    """Its run is interrupted, with the cost up to then."""
    settings = Settings(database_url=sqlite_host.url, spool_dir=spool_dir)
    with other_process(spool_dir) as process:
        give(process, Fragment(candidates=1).calls(call()).snapshot())
        kill(process)
    (directory,) = [path for path in spool_dir.iterdir() if path.is_dir()]
    directory.rename(spool_dir / settings.spool_key())
    record(sqlite_host.url)

    until(lambda: statuses(sqlite_host) == ["interrupted"])
    run = sqlite_host.row("telemetry_runs")
    assert (run["api_calls"], run["cost_pico"]) == (1, 210_000_000)


def test_a_run_whose_spool_is_lost_is_interrupted_later(host: Host, tmp_path: Path) -> None:
    """The delivered part stays; the daily check interrupts the run after a time without snapshots."""
    spool = tmp_path / "ephemeral"
    settings = Settings(database_url=host.url, spool_dir=spool, hmac_key="k", checkpoint_seconds=0.1)
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LIVES_ON), repr(settings)], cwd=ROOT
    ) as process:
        until(lambda: [row["value"] for row in host.rows("telemetry_counters")] == [5], 30)
        process.kill()
    shutil.rmtree(spool)
    engine = create_engine(host.url)
    assert interruptions.interrupt_stale(engine, timedelta(minutes=15)) == []
    assert statuses(host) == ["running"]

    host.execute("UPDATE telemetry_fragments SET seen_at = :then", then=datetime(2026, 1, 1))
    (delivered,) = interruptions.interrupt_stale(engine, timedelta(minutes=15))

    assert (delivered.status, statuses(host)) == ("interrupted", ["interrupted"])
    assert host.row("telemetry_counters")["value"] == 5
    assert interruptions.interrupt_stale(engine, timedelta(0)) == [], "once is enough"
    engine.dispose()


def test_a_run_that_was_interrupted_by_mistake_goes_on(sqlite_host: Host, record: Record) -> None:
    """Its process could not reach the database for long, and its next snapshot withdraws the mark."""
    engine = create_engine(sqlite_host.url)
    record(sqlite_host.url)
    with telemetry.run("intake"):
        until(lambda: statuses(sqlite_host) == ["running"])

        def is_marked() -> bool:  # its first snapshots may still be delivered
            interruptions.interrupt_stale(engine, timedelta(seconds=-1))
            return statuses(sqlite_host) == ["interrupted"]

        until(is_marked)
        telemetry.count("app_retries")
        until(lambda: statuses(sqlite_host) == ["running"])
    until(lambda: statuses(sqlite_host) == ["completed"])
    engine.dispose()


LIVES_ON = """
    import sys, time
    from pathlib import PosixPath
    import telemetry
    from telemetry.settings import Settings

    telemetry.setup_telemetry(eval(sys.argv[1]))
    with telemetry.run("intake"):
        telemetry.count("app_retries", 5)
        time.sleep(100)
"""


# Snapshots that the database refuses


def refuse_large_runs(host: Host) -> None:
    """Add a constraint that some runs violate."""
    if host.is_postgresql:
        host.execute("ALTER TABLE telemetry_runs ADD CONSTRAINT small CHECK (candidates < 100)")
    else:
        host.execute(
            "CREATE TRIGGER small BEFORE UPDATE ON telemetry_runs WHEN new.candidates >= 100"
            " BEGIN SELECT RAISE(ABORT, 'too large'); END"
        )


def test_a_run_that_the_database_refuses_is_quarantined(
    host: Host, record: Record, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A log line names it, and the runs after it are delivered."""
    refuse_large_runs(host)
    pipeline = record(host.url)
    with telemetry.run("analysis", candidates=100) as refused:
        pass
    with telemetry.run("analysis", candidates=99):
        pass

    until(lambda: "completed" in statuses(host))
    until(lambda: pipeline.spool.pending() == 0)
    assert [path.parent.name for path in spool_dir.rglob("*.json")] == ["dead"]
    assert pipeline.spool.dead() == 1
    assert str(refused.run_id) in caplog.text


@pytest.mark.parametrize("is_first", [True, False])
def test_a_run_with_a_refused_fragment_is_incomplete(host: Host, record: Record, is_first: bool) -> None:
    """It is complete once that fragment is delivered after all."""
    if host.is_postgresql:
        host.execute("ALTER TABLE telemetry_counters ADD CONSTRAINT small CHECK (value < 100)")
    else:
        host.execute(
            "CREATE TRIGGER small BEFORE INSERT ON telemetry_counters WHEN new.value >= 100"
            " BEGIN SELECT RAISE(ABORT, 'too large'); END"
        )
    host.add_user()
    host.add_analysis()
    whole = Fragment(analysis_id=1).calls(call())
    part = Fragment(whole.accumulator.facts.run_id, is_root=False).calls(call())
    part.accumulator.count("app_retries", 100)
    parts = [part.close(ends_run=False), whole.close()]
    pipeline = record(host.url)
    for snapshot in parts if is_first else reversed(parts):
        pipeline.spool.put(snapshot)
        assert pipeline.writer is not None
        pipeline.writer.wake()
        until(lambda: pipeline.spool.pending() == 0)

    until(lambda: [run["unfinished"] for run in host.rows("telemetry_runs")] == [1])
    (run,) = host.rows("telemetry_runs")
    assert (run["status"], run["api_calls"], run["cost_complete"]) == ("completed", 1, False)
    until(lambda: host.row("analyses")["api_calls_made"] == 1)

    host.execute(
        "ALTER TABLE telemetry_counters DROP CONSTRAINT small" if host.is_postgresql else "DROP TRIGGER small"
    )
    settings = Settings(database_url=host.url, spool_dir=pipeline.spool.root.parent, hmac_key="secret")
    assert [snapshot.error for snapshot in SpoolKeeper(settings, pipeline).retry()] == [""]
    (run,) = host.rows("telemetry_runs")
    assert (run["api_calls"], run["unfinished"], run["cost_complete"]) == (2, 0, True)


def test_a_refused_run_of_a_dead_process_is_quarantined(
    host: Host, record: Record, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """This happens once, and the directory of the process is removed."""
    refuse_large_runs(host)
    leave_behind(spool_dir, Fragment(candidates=100).close(), Fragment(candidates=1).close())
    (directory,) = [path for path in spool_dir.iterdir() if path.is_dir()]
    directory.rename(spool_dir / Settings(database_url=host.url).spool_key())
    pipeline = record(host.url)

    until(lambda: statuses(host) == ["completed"])
    until(lambda: not pipeline.spool.has_other_directories())
    assert pipeline.spool.dead() == 1


@pytest.mark.internal_errors
def test_a_run_of_a_newer_version_does_not_stop_a_takeover(
    sqlite_host: Host, record: Record, spool_dir: Path
) -> None:
    """Entries of other dead processes are delivered; that run waits for the newer version."""
    engine = create_engine(sqlite_host.url)
    settings = Settings(database_url=sqlite_host.url, spool_dir=spool_dir)
    open_ones = [Fragment(process_id="a" * 32).snapshot() for _ in range(2)]
    newer = Fragment(open_ones[0].run_id, is_root=False).close(ends_run=False)
    for snapshot in (*open_ones, newer):
        run_storage.deliver(engine, snapshot)
    engine.dispose()
    sqlite_host.execute(
        "UPDATE telemetry_fragments SET state = replace(state, :this, :newer) WHERE fragment_id = :id",
        this=f'"schema":{SCHEMA_VERSION}',
        newer='"schema":99',
        id=newer.fragment_id,
    )
    for name, snapshot in (("a" * 32, open_ones[0]), ("b" * 32, Fragment(kind="intake").close())):
        made = move_to_spool_of(settings, leave_behind(spool_dir, snapshot))
        (spool_dir / settings.spool_key() / made).rename(spool_dir / settings.spool_key() / name)
    pipeline = record(sqlite_host.url)

    until(lambda: sorted(statuses(sqlite_host)) == ["completed", "interrupted", "running"])
    until(
        lambda: [path.name for path in pipeline.spool.other_directories()] == ["a" * 32]
    )  # it waits for that version


@pytest.mark.parametrize("is_whole_root", [False, True])
def test_directories_of_another_user_do_not_stop_deliveries(
    sqlite_host: Host, spool_dir: Path, is_whole_root: bool
) -> None:
    """A directory that cannot be read is logged once, and the process's own runs are delivered."""
    settings = Settings(
        database_url=sqlite_host.url, spool_dir=spool_dir, hmac_key="k", heartbeat_seconds=0.1
    )
    name = move_to_spool_of(settings, leave_behind(spool_dir, Fragment().close()))
    code = f"""
        import time, telemetry
        from telemetry.settings import Settings
        from pathlib import PosixPath
        telemetry.setup_telemetry({settings!r})
        with telemetry.run("intake"):
            time.sleep(1)
        assert telemetry.shutdown()
    """
    root = spool_dir / settings.spool_key()
    with closed(root if is_whole_root else root / name):
        command = [*ANOTHER_USER, sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, cwd=ROOT, check=True, timeout=300, capture_output=True, text=True)

    assert statuses(sqlite_host) == ["completed"]
    assert done.stderr.count("chown") == 1 and (is_whole_root or name in done.stderr)


def test_an_invalid_user_id_does_not_stop_deliveries(host: Host, record: Record) -> None:
    """A run whose user id is no number has no user, and is delivered."""
    pipeline = record(host.url)
    nonsense: Any = "ada"
    with telemetry.run("intake", user_id=nonsense):
        pass
    with telemetry.run("intake", user_id=1):
        pass

    until(lambda: statuses(host) == ["completed"] * 2)
    assert {row["user_ref"] for row in host.rows("telemetry_runs")} == {None, 1}
    until(lambda: pipeline.spool.pending() == 0)


def test_a_value_of_the_wrong_type_does_not_stop_deliveries(
    host: Host, record: Record, spool_dir: Path
) -> None:
    """A snapshot that no driver can bind is kept; others, here and in its directory, are delivered."""
    wrong = replace(Fragment(candidates=1).close(), fragment_id="0" * 32, run_id={"a": 1})  # type: ignore[arg-type]
    leave_behind(spool_dir, wrong, Fragment(candidates=1).close())
    (directory,) = [path for path in spool_dir.iterdir() if path.is_dir()]
    directory.rename(spool_dir / Settings(database_url=host.url).spool_key())
    record(host.url)
    with telemetry.run("analysis", candidates=1):
        pass

    until(lambda: statuses(host) == ["completed"] * 2)
    assert len(list(spool_dir.rglob(f"{wrong.fragment_id}.json"))) == 1


@pytest.mark.internal_errors
def test_a_quarantine_that_cannot_be_written_does_not_stop_deliveries(
    sqlite_host: Host, record: Record, spool_dir: Path
) -> None:
    """A refused run that cannot be quarantined waits; the runs after it are delivered."""
    refuse_large_runs(sqlite_host)
    root = spool_dir / Settings(database_url=sqlite_host.url).spool_key()
    root.mkdir(parents=True)
    (root / "dead").write_text("in the way")
    record(sqlite_host.url)
    with telemetry.run("analysis", candidates=100):
        pass
    with telemetry.run("analysis", candidates=99):
        pass

    until(lambda: "completed" in statuses(sqlite_host))
    assert len(files(spool_dir)) == 1, "what could not be delivered is kept"


def test_a_host_row_that_cannot_be_read_does_not_stop_others(sqlite_host: Host, record: Record) -> None:
    """A host row with an invalid time is left out; rows of other analyses and of users are updated.

    The query at the end does not read that time either.
    """
    for number in (1, 2):
        sqlite_host.add_user(number)
        sqlite_host.add_analysis(number, number)
    sqlite_host.execute("UPDATE analyses SET created_at = 'some day' WHERE id = 1")
    record(sqlite_host.url)
    for number in (1, 2):
        with telemetry.run("analysis", user_id=number) as run:
            run.link(number)

    until(lambda: [row["total_jobs_run"] for row in sqlite_host.rows("users")] == [1, 1])
    with closing(sqlite3.connect(sqlite_host.url.removeprefix("sqlite:///"))) as connection:
        query = "SELECT status FROM analyses WHERE id = 2"
        until(lambda: connection.execute(query).fetchone() != (None,))


def test_a_read_only_session_is_replaced(
    postgres_host: Host, record: Record, postgres: TemporaryPostgres
) -> None:
    """The session was made while its server was a standby."""
    database = postgres_host.url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    pipeline = record(postgres_host.url)
    with telemetry.run("intake"):
        pass
    until(lambda: bool(pipeline.metrics.totals.read(WRITER_FAILURES)))
    postgres.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")

    until(lambda: statuses(postgres_host) == ["completed"])


@pytest.mark.internal_errors
def test_a_run_is_delivered_without_a_thread(
    sqlite_host: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may refuse to start one: the next run tries again, and the shutdown needs none."""
    pipeline = record(sqlite_host.url)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_to_start)
        with telemetry.run("intake"):
            pass
    assert pipeline.shutdown(10)
    assert statuses(sqlite_host) == ["completed"]


def refuse_to_start(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "in-memory"),
        ("sqlite:///:memory:", "in-memory"),
        ("no url", "TELEMETRY_DATABASE_URL"),
        ("mysql://ada:secret@db/app", "PostgreSQL or SQLite"),
    ],
)
def test_an_unusable_database_url_is_an_error_at_set_up(tmp_path: Path, url: str, reason: str) -> None:
    """It is not left to a thread that would try for ever."""
    with pytest.raises(ValueError, match=reason) as caught:
        Pipeline(Settings(database_url=url, spool_dir=tmp_path))
    assert "secret" not in str(caught.value)


@pytest.mark.internal_errors
def test_a_disk_that_refuses_loses_nothing(sqlite_host: Host, record: Record, tmp_path: Path) -> None:
    """If the spool cannot be written, runs reach the database from memory."""
    (tmp_path / "file").write_text("in the way")
    record(sqlite_host.url, spool_dir=tmp_path / "file" / "spool")
    with telemetry.run("intake"):
        telemetry.count("app_retries")

    until(lambda: statuses(sqlite_host) == ["completed"])
    assert set(internal_errors()) == {"spool"}


def test_a_full_disk_loses_nothing(postgres_host: Host, tmp_path: Path) -> None:
    """A snapshot that does not fit on the disk reaches the database from memory, and the host goes on."""
    code = f"""
        import resource, telemetry
        from pathlib import Path
        from telemetry._internal.guard import internal_errors
        from telemetry.settings import Settings
        spool = Path({str(tmp_path / "spool")!r})
        telemetry.setup_telemetry(Settings(database_url={postgres_host.url!r}, spool_dir=spool, hmac_key="k"))
        with telemetry.run("intake"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            telemetry.count("app_retries", 3)
        assert telemetry.shutdown()
        assert internal_errors().keys() == {{"spool"}}, internal_errors()
    """
    fresh.run("-c", textwrap.dedent(code), cwd=ROOT).check_returncode()

    assert statuses(postgres_host) == ["completed"]
    assert postgres_host.row("telemetry_counters")["value"] == 3


# The host's rows


def test_a_late_row_is_projected_when_it_is_committed(
    sqlite_host: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit triggers the next attempt, which would otherwise be an hour later here."""
    attempts = []

    def wait(retry: Any, longest: float = 0) -> None:
        retry.due = time.monotonic() + 3600
        attempts.append(retry)

    monkeypatch.setattr("exporters.sql.writer.retry.Retry.wait", wait)
    sqlite_host.add_user()
    pipeline = record(sqlite_host.url)
    with telemetry.run("analysis", user_id=1, analysis_id=1, candidates=1):
        pass
    until(lambda: bool(attempts))
    sqlite_host.add_analysis(1, created_at=CREATED)
    pipeline.host_committed()

    until(lambda: sqlite_host.row("analyses")["status"] == "completed")


def test_recover_does_not_wait_for_files_that_were_never_stored(
    sqlite_host: Host, record: Record, spool_dir: Path
) -> None:
    """It looks for them once."""
    sqlite_host.add_user()
    for number in range(1, 4):
        sqlite_host.add_analysis(number, created_at=CREATED)
    pipeline = record(sqlite_host.url)
    for number in range(1, 4):
        with telemetry.run("analysis", user_id=1, analysis_id=number), telemetry.document("a.pdf", size=5):
            pass
    assert pipeline.shutdown(10)
    sqlite_host.execute("UPDATE telemetry_runs SET projected_version = 0")

    keeper = SpoolKeeper(Settings(database_url=sqlite_host.url, spool_dir=spool_dir, hmac_key="secret"))
    assert keeper.recover(MUCH_LONGER)
    assert {row["files_pending"] for row in sqlite_host.rows("telemetry_runs")} == {1}
    assert not sqlite_host.rows("telemetry_runs", projected_version=0)


def test_an_intake_that_arrives_after_its_analysis_is_charged(sqlite_host: Host, record: Record) -> None:
    """The row of the analysis shows it."""
    sqlite_host.add_user()
    sqlite_host.add_analysis()
    record(sqlite_host.url)
    with telemetry.run("analysis", user_id=1, subject=("draft", 1), candidates=1, analysis_id=1):
        pass
    until(lambda: sqlite_host.row("analyses")["status"] == "completed")
    with telemetry.run("intake", user_id=1, subject=("draft", 1)), telemetry.stage("naming"):
        telemetry.record_fallback("Nameless")

    until(lambda: sqlite_host.row("analyses")["error_count"] == 1)


def test_a_late_change_of_a_charged_intake_is_projected(sqlite_host: Host, record: Record) -> None:
    """An error in the intake after the charge reaches the row of the analysis."""
    sqlite_host.add_user()
    sqlite_host.add_analysis()
    record(sqlite_host.url)
    with telemetry.run("intake", user_id=1, subject=("draft", 1)):
        inside = telemetry.stage("naming")
        inside.__enter__()
    with telemetry.run("analysis", user_id=1, subject=("draft", 1), candidates=1, analysis_id=1):
        pass
    until(lambda: {row["analysis_ref"] for row in sqlite_host.rows("telemetry_runs")} == {1})
    until(lambda: sqlite_host.row("analyses")["error_count"] == 0)
    inside.__exit__(ValueError, ValueError(), None)

    until(lambda: sqlite_host.row("analyses")["error_count"] == 1)


def test_values_that_did_not_fit_are_counted(sqlite_host: Host, record: Record) -> None:
    """What had to be cut is counted by its column, in our own tables and in the host's."""
    sqlite_host.add_user()
    sqlite_host.add_analysis()
    pipeline = record(sqlite_host.url)
    for subject in ("s" * 300, "draft"):
        with telemetry.run("analysis", user_id=1, analysis_id=1, subject=subject, candidates=2**31 - 1):
            pass
    assert pipeline.shutdown(10)

    counted = {labels["column"]: count for labels, count in pipeline.metrics.totals.read(VALUES_COERCED)}
    assert counted["telemetry_runs.subject"] >= 1
    assert counted["users.total_candidates_analyzed"] >= 1


# The thread


def test_the_thread_is_started_by_the_first_run(sqlite_host: Host, record: Record) -> None:
    """A process that records nothing has no thread of telemetry."""
    record(sqlite_host.url)
    with telemetry.stage("ranking"), telemetry.document("cv.pdf"):
        telemetry.count("app_retries")
    assert writer_threads() == []

    with telemetry.run("intake"):
        assert len(writer_threads()) == 1


def test_the_thread_sleeps_when_nothing_is_due(
    sqlite_host: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once everything is delivered, it does not wake up until the next run."""
    pipeline = record(sqlite_host.url, heartbeat_seconds=0.1)
    assert pipeline.writer
    ticks: list[float] = []
    tick = pipeline.writer._tick

    def counted() -> None:
        ticks.append(time.monotonic())
        tick()

    monkeypatch.setattr(pipeline.writer, "_tick", counted)
    with telemetry.run("intake"):
        pass
    until(lambda: statuses(sqlite_host) == ["completed"] and pipeline.spool.pending() == 0)
    time.sleep(0.2)
    before = len(ticks)
    time.sleep(1)
    assert len(ticks) == before

    with telemetry.run("intake"):
        pass
    until(lambda: statuses(sqlite_host) == ["completed"] * 2)


def test_attempts_become_rarer_during_an_outage(silent_server: str, record: Record) -> None:
    """A database that is down is not flooded with attempts."""
    pipeline = record(silent_server.replace("127.0.0.1", "127.0.0.2"))
    with telemetry.run("intake"):
        pass
    started = time.monotonic()
    until(lambda: failures(pipeline) >= 5)

    # Two failures may be of one attempt; the pauses are 0.2, 0.4 and 0.8 s, each of which jitter may halve.
    assert time.monotonic() - started > 0.6


# Forked children


def in_child(work: Callable[[], None]) -> None:
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(30)
    assert child.exitcode == 0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_within_a_run_adds_to_it(host: Host, record: Record, spool_dir: Path) -> None:
    """Only the parent ends the run."""
    pipeline = record(host.url, shutdown_seconds=10)

    def work() -> None:
        assert sum(count for _, count in pipeline.metrics.totals.read(EVENTS)) == 0
        with telemetry.stage("ranking"), telemetry.document("b.pdf", size=1) as document:
            telemetry.count("app_retries", 10)
            document.score(0.5)

    with telemetry.run("analysis") as run:
        telemetry.count("app_retries")
        until(lambda: statuses(host) == ["running"])
        in_child(work)
        assert statuses(host) == ["running"]
        with telemetry.document("a.pdf", size=1) as document:
            document.score(1)

    until(lambda: statuses(host) == ["completed"])
    assert host.row("telemetry_counters")["value"] == 11
    row = host.row("telemetry_runs")
    assert (row["run_id"], row["n_scored"]) == (run.run_id, 2)
    assert sum(count for _, count in pipeline.metrics.totals.read(EVENTS)) == 1
    until(lambda: files(spool_dir) == [])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_delivers_its_own_runs(host: Host, record: Record, spool_dir: Path) -> None:
    """It has a writer of its own."""
    record(host.url, shutdown_seconds=10)
    with telemetry.run("intake", user_id=1):
        pass
    until(lambda: statuses(host) == ["completed"])

    def work() -> None:
        assert writer_threads() == []
        with telemetry.run("intake", user_id=2):
            telemetry.count("app_retries")

    in_child(work)
    with telemetry.run("intake", user_id=3):
        pass

    until(lambda: sorted(row["user_ref"] for row in host.rows("telemetry_runs")) == [1, 2, 3])
    until(lambda: statuses(host) == ["completed"] * 3)
    assert len({row["process_id"] for row in host.rows("telemetry_fragments")}) == 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_children_of_a_busy_parent_deliver(
    host: Host, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is forked while the parent's writer works can write to the same database."""
    monkeypatch.setattr(fork_gate, "LONGEST_WAIT_SECONDS", 20)  # a busy disk is no failure here
    pipeline = record(host.url, shutdown_seconds=MUCH_LONGER)
    over = threading.Event()

    def keep_the_writer_busy() -> None:
        while not over.wait(0.02):
            with telemetry.run("intake"):
                telemetry.count("app_retries")

    def work() -> None:
        over.set()
        with telemetry.run("late", user_id=1):
            telemetry.count("app_retries")
        assert pipeline.shutdown(MUCH_LONGER)

    busy = threading.Thread(target=keep_the_writer_busy)
    busy.start()
    try:
        for _ in range(8):
            in_child(work)
    finally:
        over.set()
        busy.join()

    until(lambda: pipeline.spool.pending() == 0)
    ended = [row["status"] for row in host.rows("telemetry_runs") if row["kind"] == "late"]
    assert ended == ["completed"] * 8


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_a_locked_database(sqlite_host: Host, record: Record) -> None:
    """The writer's transaction waits for a lock of the host; the fork does not."""
    pipeline = record(sqlite_host.url)
    with closing(sqlite3.connect(sqlite_host.engine.url.database or "", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with telemetry.run("intake"):
            pass
        time.sleep(0.3)
        in_child(lambda: None)  # it would wait for ever: the lock is released below
        assert pipeline.spool.pending() == 1
        connection.execute("COMMIT")

    until(lambda: statuses(sqlite_host) == ["completed"])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_cannot_end_an_inherited_run(sqlite_host: Host, record: Record) -> None:
    """Its copy of the handle has no effect."""
    record(sqlite_host.url, shutdown_seconds=10)
    run = telemetry.start_run("intake")
    in_child(run.fail)
    run.finish()

    until(lambda: statuses(sqlite_host) == ["completed"])


def test_a_child_that_exits_without_hooks_does_not_disturb_its_parent(
    sqlite_host: Host, record: Record
) -> None:
    """The parent's run is delivered."""
    record(sqlite_host.url)
    with telemetry.run("intake"):
        if (child := os.fork()) == 0:
            os._exit(0)
        os.waitpid(child, 0)

    until(lambda: statuses(sqlite_host) == ["completed"])


@pytest.mark.internal_errors
def test_a_run_of_a_newer_version_does_not_stop_others(
    sqlite_host: Host, record: Record, spool_dir: Path
) -> None:
    """It waits for that version; the runs after it are delivered."""
    record(sqlite_host.url)
    with telemetry.run("analysis"):
        until(lambda: statuses(sqlite_host) == ["running"])
        sqlite_host.execute(
            "UPDATE telemetry_fragments SET state = replace(state, :this, :newer), seq = 1000",
            this=f'"schema":{SCHEMA_VERSION}',
            newer='"schema":99',
        )
    for _ in range(2):
        with telemetry.run("intake"):
            pass

    until(lambda: sorted(statuses(sqlite_host)) == ["completed", "completed", "running"])
    until(lambda: len(files(spool_dir)) == 1)  # what could not be delivered is kept
