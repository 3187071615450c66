"""Ctrl-C ends a command at once: one line, exit status 130, and the database stops its query."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from exporters.sql.storage import runs as run_storage
from tests import fresh
from tests.exporters.makers import Fragment, Host
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2", "newest")
FLASK = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # background processes of a shell ignore it
from flask.cli import main
main()
"""

CLOSING = """
import os, signal
from sqlalchemy.engine.default import DefaultDialect
real = DefaultDialect.do_close
def do_close(self, connection):
    DefaultDialect.do_close = real
    os.kill(os.getpid(), signal.SIGINT)
    real(self, connection)
DefaultDialect.do_close = do_close
"""
"""Sends SIGINT while SQLAlchemy closes a connection: it logs whatever is raised there."""

REMOVING = """
import os, signal
from pathlib import Path
real = Path.unlink
def unlink(self, missing_ok=False):
    Path.unlink = real
    os.kill(os.getpid(), signal.SIGINT)
    real(self, missing_ok)
Path.unlink = unlink
"""
"""Has Ctrl-C pressed just before a file is removed."""

COMMANDS = ("report", "export", "export --output jobs.csv", "health-check", "archive kept --older-than 1")
ENDLESS = """CREATE VIEW telemetry_runs AS
    WITH RECURSIVE endless(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM endless)
    SELECT real_runs.* FROM real_runs, endless WHERE n < 0"""


@contextmanager
def busy(host: Host) -> Iterator[None]:
    """Make every query of runs take for ever."""
    if host.is_postgresql:
        with host.holding("LOCK TABLE telemetry_runs IN ACCESS EXCLUSIVE MODE"):
            yield
        return
    run_storage.deliver(host.engine, Fragment(user_id=1).close())
    with host.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
        connection.exec_driver_sql("ALTER TABLE telemetry_runs RENAME TO real_runs")
        connection.exec_driver_sql(ENDLESS)
    yield


def has_query(host: Host, process: fresh.Child) -> bool:
    """Return whether the database has received the query that never ends."""
    assert process.poll() is None, process.communicate()
    if host.is_postgresql:
        return waiting(host) > 0
    database = host.url.removeprefix("sqlite:///")
    return database in open_files(process)


def open_files(process: fresh.Child) -> Iterator[str]:
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            yield os.readlink(descriptor)


def waiting(host: Host) -> int:
    query = """SELECT COUNT(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"""
    with host.engine.connect() as connection:
        return int(connection.scalar(sa.text(query)) or 0)


@contextmanager
def running(command: str, folder: Path, before: str = "", **environment: str) -> Iterator[fresh.Child]:
    """Run a command as a shell does, so that SIGINT interrupts it; ``before`` is executed first."""
    known = {"TELEMETRY_HMAC_KEY": "key", "TELEMETRY_SPOOL_DIR": str(folder / "spool")}
    program = before + FLASK
    with fresh.talk(
        "-c", program, "telemetry", *command.split(), cwd=folder, env=os.environ | known | environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ends(process: fresh.Child, *, press: bool = True) -> None:
    """Interrupt the process, and check how it ends."""
    if press:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (130, "Interrupted.\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_interrupted_command_stops_its_query(host: Host, tmp_path: Path, command: str) -> None:
    """The database cancels it, and no incomplete file is left."""
    with (
        busy(host),
        running(command, tmp_path, TELEMETRY_DATABASE_URL=host.url) as process,
    ):
        until(lambda: has_query(host, process), seconds=60)
        ends(process)
        if host.is_postgresql:
            until(lambda: waiting(host) == 0)
    assert not list(tmp_path.glob("*jobs.csv*"))
    assert not list(tmp_path.glob("kept/*"))


@pytest.mark.parametrize("command", ["report", "export", "health-check", "validate", "doctor --no-run"])
def test_an_interruption_while_a_connection_closes_prints_one_line(
    sqlite_host: Host, tmp_path: Path, command: str
) -> None:
    """What SQLAlchemy logs of it is not printed."""
    with running(command, tmp_path, CLOSING, TELEMETRY_DATABASE_URL=sqlite_host.url) as process:
        ends(process, press=False)


def test_twice(sqlite_host: Host, tmp_path: Path) -> None:
    """Pressed again while the half of a file is removed: it is removed all the same."""
    with (
        busy(sqlite_host),
        running(
            "export --output jobs.csv", tmp_path, REMOVING, TELEMETRY_DATABASE_URL=sqlite_host.url
        ) as process,
    ):
        until(lambda: has_query(sqlite_host, process), seconds=60)
        ends(process)
    assert not list(tmp_path.glob("*jobs.csv*"))


def test_while_half_of_a_file_is_removed(tmp_path: Path) -> None:
    """After an error, here of a database without our views: the half is removed, too."""
    url = f"sqlite:///{tmp_path}/empty.sqlite"
    (tmp_path / "empty.sqlite").touch()
    with running("export --output jobs.csv", tmp_path, REMOVING, TELEMETRY_DATABASE_URL=url) as process:
        ends(process, press=False)
    assert not list(tmp_path.glob("*jobs.csv*"))


@pytest.mark.parametrize("command", ["validate", "doctor --no-run", "export --output jobs.csv"])
def test_a_command_is_interrupted_while_a_server_does_not_answer(tmp_path: Path, command: str) -> None:
    """A database that takes the connection and says nothing is waited for in C; it is left behind.

    No half of a file is.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql+psycopg2://u@127.0.0.1:{server.getsockname()[1]}/d?connect_timeout=600"
        with running(command, tmp_path, TELEMETRY_DATABASE_URL=url) as process:
            connection, _ = server.accept()
            with connection:
                ends(process)
    assert not list(tmp_path.glob("*jobs.csv*"))


def test_the_doctor_is_interrupted_while_a_collector_does_not_answer(
    sqlite_host: Host, tmp_path: Path
) -> None:
    """Neither the request nor the exporter's shutdown delays the end of the process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}",
            "TELEMETRY_DATABASE_URL": sqlite_host.url,
            "OTEL_TRACES_EXPORTER": "otlp",
        }
        with running("doctor", tmp_path, **environment) as process:
            connection, _ = server.accept()
            with connection:
                ends(process)
