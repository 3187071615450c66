"""Databases for the screener, a stand-in, and the logs of the processes when a test fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from examples.screener.app import create_app, init_db
from examples.screener.auth import seed_users
from examples.screener.models import db
from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from tests.end_to_end.stack import Stack
from tests.postgres import TemporaryPostgres

NewDatabase = Callable[[str], str]


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> NewDatabase:
    """A function that creates a database ("sqlite" or "postgresql") with all tables and both users."""
    folder = tmp_path_factory.mktemp("databases")
    copies: dict[str, Iterator[str]] = {}

    def make(kind: str) -> str:
        if kind not in copies:
            server = request.getfixturevalue("postgres") if kind == "postgresql" else None
            copies[kind] = _postgres_copies(server) if server else _sqlite_copies(folder)
        return next(copies[kind])

    return make


def _sqlite_copies(folder: Path) -> Iterator[str]:
    original = folder / "original.sqlite"
    prepare(f"sqlite:///{original}")
    number = 0
    while True:
        number += 1
        yield f"sqlite:///{shutil.copy(original, folder / f'{number}.sqlite')}"


def _postgres_copies(server: TemporaryPostgres) -> Iterator[str]:
    original = server.create_database()
    prepare(original)
    template = original.rpartition("/")[2]
    number = 0
    while True:
        number += 1
        name = f"{template}_{number}"
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.url(dbname=name)


def prepare(url: str) -> None:
    """Create all tables and both users in an empty database."""
    with pytest.MonkeyPatch.context() as patch:  # other tests start processes that record
        patch.setenv("TELEMETRY_ENABLED", "false")
        app = create_app({"SCREENER_DATABASE_URL": url, "SECRET_KEY": "set-up"})
    init_db(app)
    with app.app_context():
        seed_users()
        db.engine.dispose()
    migrate.upgrade(url)


@pytest.fixture(scope="session")
def shared_standin() -> Iterator[StandIn]:
    """One stand-in for all tests here; tests use the fixture `standin`."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(shared_standin: StandIn) -> StandIn:
    """The stand-in without faults and with an empty ledger."""
    shared_standin.reset_faults()
    shared_standin.clear()
    return shared_standin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the processes with the failure of a test."""
    report = yield
    if report.failed:
        report.sections.extend(log for stack in Stack.running for log in stack.logs())
    return report
