"""A host on SQLite, which has one writer at a time, is not disturbed by telemetry's writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import telemetry
from exporters.sql.database import engine as database
from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.storage import runs as run_storage
from exporters.sql.writer.database import REST_SECONDS
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import KEY, Fragment, Host, call
from tests.exporters.test_spool import leave_behind, move_to_spool_of
from tests.waiting import until

ROUNDS = 60
RUNS = 10


def immediately(engine: sa.Engine) -> None:
    """Begin transactions as SQLAlchemy documents for hosts that need real ones on SQLite."""

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def as_the_driver_does(_: sa.Engine) -> None:
    """Leave the beginning to the driver, which begins with the first change."""


@contextmanager
def writer_at_work(host: Host) -> Iterator[None]:
    """Deliver and project runs one after another, with short pauses."""
    engine, over = create_engine(host.url), threading.Event()
    rows = HostRows(engine, KEY)

    def work() -> None:
        while not over.wait(0.03):
            fragment = Fragment(analysis_id=1, user_id=1).calls(call())
            run_storage.deliver(engine, fragment.snapshot())
            run_storage.deliver(engine, fragment.close())
            rows.project_analysis(1)
            rows.project_user(1)

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
def test_a_host_that_reads_and_then_writes_is_never_locked_out(
    sqlite_host: Host, begin: Any, journal: str
) -> None:
    """It never gets the error that the database is locked, though telemetry writes in between."""
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


@pytest.fixture
def settings(sqlite_host: Host, tmp_path: Path) -> Settings:
    return Settings(database_url=sqlite_host.url, spool_dir=tmp_path / "spool", hmac_key="k")


class Transactions:
    """Counts transactions that change a database, by bytes 24 to 27 of its file's header."""

    def __init__(self, host: Host) -> None:
        self._path = Path(sa.make_url(host.url).database or "")
        self._began, self._before = time.monotonic(), self._count()

    def since(self) -> int:
        return self._count() - self._before

    def most(self) -> float:
        """Return how many of telemetry's there can have been, with a rest between them."""
        return 1 + (time.monotonic() - self._began) / REST_SECONDS

    def _count(self) -> int:
        return int.from_bytes(self._path.read_bytes()[24:28], "big")


def analyse(analysis: int) -> None:
    """Analyse one candidate."""
    with (
        telemetry.run("analysis", user_id=1, analysis_id=analysis),
        telemetry.document("a.pdf") as document,
    ):
        document.score(0.5)


def test_deliveries_that_are_due_together_are_one_transaction(sqlite_host: Host, settings: Settings) -> None:
    """Ten runs and their rows are not forty transactions, for every one of which the host would wait."""
    sqlite_host.add_user()
    for analysis in range(1, RUNS + 1):
        sqlite_host.add_analysis(id=analysis)
    transactions = Transactions(sqlite_host)
    with recording(settings):
        for analysis in range(1, RUNS + 1):
            analyse(analysis)
            time.sleep(0.1)
        until(lambda: sqlite_host.row("users")["total_jobs_run"] == RUNS)
        made = transactions.since()

    assert 1 <= made <= transactions.most()
    assert {row["status"] for row in sqlite_host.rows("telemetry_runs")} == {"completed"}
    assert {row["status"] for row in sqlite_host.rows("analyses")} == {"completed"}


def test_a_takeover_is_delivered_in_short_transactions(sqlite_host: Host, settings: Settings) -> None:
    """Everything is delivered once, and the host can write between the transactions."""
    fragments = [Fragment().calls(call()) for _ in range(20 * RUNS)]
    move_to_spool_of(
        settings, leave_behind(settings.spool_dir, *(fragment.close() for fragment in fragments))
    )
    transactions = Transactions(sqlite_host)
    with recording(settings):
        with telemetry.run("intake"):
            pass
        until(lambda: len(sqlite_host.rows("telemetry_runs")) > len(fragments), seconds=60)
        made = transactions.since()

    assert made <= transactions.most()
    assert [row["api_calls"] for row in sqlite_host.rows("telemetry_runs")].count(1) == len(fragments)
    assert list(settings.spool_dir.glob("*/*/*.json")) == []


def test_deliveries_that_waited_for_the_host_are_one_transaction(
    sqlite_host: Host, settings: Settings
) -> None:
    """The wait itself is not followed by a rest."""
    sqlite_host.add_user()
    for analysis in range(1, RUNS + 1):
        sqlite_host.add_analysis(id=analysis)
    with recording(settings):
        with sqlite_host.holding("UPDATE users SET name = 'm'"):
            for analysis in range(1, RUNS + 1):
                analyse(analysis)
            time.sleep(1)
            transactions = Transactions(sqlite_host)
        until(lambda: sqlite_host.row("users")["total_jobs_run"] == RUNS)

    assert transactions.since() <= 1 + transactions.most()  # the host's own is one of them


def test_a_transaction_that_cannot_be_committed_is_repeated(
    sqlite_host: Host, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that reads for long prevents the commit; everything is written afterwards."""
    monkeypatch.setattr(database, "SQLITE_BUSY_SECONDS", 0.1)
    sqlite_host.add_user()
    sqlite_host.add_analysis()
    with recording(settings):
        with sqlite_host.engine.connect() as reader:
            reading = reader.execute(sa.text("SELECT * FROM analyses UNION ALL SELECT * FROM analyses"))
            reading.fetchone()
            analyse(1)
            time.sleep(0.5)
            waiting = list(settings.spool_dir.glob("*/*/*.json"))
            reading.close()
        assert len(waiting) == 1
        until(lambda: sqlite_host.row("users")["total_jobs_run"] == 1)
        until(lambda: list(settings.spool_dir.glob("*/*/*.json")) == [])

    assert sqlite_host.row("analyses")["status"] == "completed"
    assert [row["outcome"] for row in sqlite_host.rows("telemetry_documents")] == ["scored"]
