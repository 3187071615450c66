"""While telemetry's database is down everything waits in the spool; nothing is lost or delivered twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.database import Database
from tests.end_to_end.documents import resume
from tests.end_to_end.ledger import Truth, truth
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import submit
from tests.postgres import TemporaryPostgres
from tests.spool import snapshots, waiting
from tests.waiting import until

SPENT = """
    SELECT COALESCE(SUM(api_calls), 0) AS calls, COALESCE(SUM(attempts), 0) AS attempts,
        COALESCE(SUM(cost_pico), 0) AS cost_pico FROM telemetry_runs
"""


@pytest.fixture
def server() -> Iterator[TemporaryPostgres]:
    """A PostgreSQL server of its own, which may be stopped."""
    with TemporaryPostgres() as server:
        yield server


@pytest.fixture
def database(server: TemporaryPostgres) -> Iterator[Database]:
    """The database of telemetry, which is not the host's here."""
    url = server.create_database()
    migrate.upgrade(url, with_base_tables=True)
    database = Database(url)
    yield database
    database.close()


def test_runs_of_an_outage_are_delivered_afterwards(
    server: TemporaryPostgres,
    database: Database,
    new_database: NewDatabase,
    standin: StandIn,
    tmp_path: Path,
) -> None:
    """They are delivered by the same processes, or by those that are started later."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = {"TELEMETRY_DATABASE_URL": url, "TELEMETRY_SHUTDOWN_SECONDS": "0.5"}
    with Stack(tmp_path, new_database("sqlite"), standin, **settings) as stack:
        server.stop()
        stack.web()
        client = stack.client()

        assert submit(client, [resume(1).file]).status["state"] == "completed"
        assert len(snapshots(stack.spool)) == 3

        server.start()
        _wait_until_delivered(stack, database)

        assert _spent(database) == _expected(standin)

        server.stop()

        assert submit(client, [resume(2).file]).status["state"] == "completed"

        stack.stop()

        assert len(snapshots(stack.spool)) == 3

        server.start()
        stack.web()
        _wait_until_delivered(stack, database)

        assert _spent(database) == _expected(standin)
        assert {run["status"] for run in database.runs()} == {"completed"}
        assert len(database.runs()) == 6


def _wait_until_delivered(stack: Stack, database: Database) -> None:
    until(lambda: not waiting(stack.spool), what="the spool is empty")
    until(database.is_delivered, what="every run has ended")


def _spent(database: Database) -> dict[str, int]:
    return {name: int(value) for name, value in database.row(SPENT).items()}


def _expected(standin: StandIn) -> dict[str, int]:
    expected: Truth = truth(standin.ledger()["attempts"])
    return {"calls": expected.calls, "attempts": expected.attempts, "cost_pico": expected.cost_pico}
