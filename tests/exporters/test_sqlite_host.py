"""A host on SQLite, which has one writer at a time: whichever way it begins its transactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from exporters import sql
from exporters.database import create_engine
from exporters.projection import Writable, project, refresh_user
from exporters.totals import Totals
from tests.exporters.makers import KEY, Fragment, Host, call

ROUNDS = 60


def immediately(engine: sa.Engine) -> None:
    """Begin as SQLAlchemy's documentation tells hosts that want transactions to be real."""

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def as_the_driver_does(_: sa.Engine) -> None:
    """Leave it to the driver, which begins with the first change."""


@contextmanager
def writer_at_work(host: Host) -> Iterator[None]:
    """Deliver runs one after another, and show them, with short pauses."""
    engine, over = create_engine(host.url), threading.Event()
    writable = Writable.load(engine)

    def work() -> None:
        while not over.wait(0.03):
            fragment = Fragment(analysis_id=1, user_id=1).calls(call())
            sql.deliver(engine, fragment.snapshot(), Totals())
            sql.deliver(engine, fragment.close(), Totals())
            project(engine, 1, writable, KEY, Totals())
            refresh_user(engine, 1, writable, Totals())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        engine.dispose()


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("begin", [as_the_driver_does, immediately])
def test_a_host_that_reads_and_then_writes(sqlite_host: Host, begin: Any, journal: str) -> None:
    """It is never told that the database is locked, however the writer comes between."""
    sqlite_host.add_user()
    sqlite_host.add_analysis()
    sqlite_host.execute(f"PRAGMA journal_mode = {journal}")
    begin(sqlite_host.engine)
    with writer_at_work(sqlite_host):
        for number in range(ROUNDS):
            with sqlite_host.engine.begin() as connection:
                connection.execute(sa.text("SELECT * FROM analyses")).all()
                time.sleep(0.005)
                connection.execute(sa.text(f"UPDATE analyses SET job_title = '{number}'"))
            time.sleep(0.005)

    row = sqlite_host.row("analyses")
    assert row["job_title"] == str(ROUNDS - 1)
    assert row["api_calls_made"] == len(sqlite_host.rows("telemetry_runs")) > 1
