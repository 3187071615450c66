"""Migrated databases: one of each kind, which is copied for each test."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.engine import Engine

from exporters.sql.database.engine import create_engine
from exporters.sql.schema import migrate
from tests import runs
from tests.choice import whole_matrix
from tests.exporters.makers import Host
from tests.postgres import TemporaryPostgres

ALL_HOSTS = ("sqlite", "psycopg2", "psycopg", "newest", "pgbouncer")
STRICT_FIRST = ("psycopg", "newest", "psycopg2", "pgbouncer")
"""PostgreSQL hosts in the order in which they represent all others.

psycopg sends parameters separately, so the server must know their types; psycopg2 writes them into the
statement. A statement that works with psycopg works with psycopg2.
"""

# Tests must not fail because the machine is busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "host.sqlite"
    migrate.upgrade(f"sqlite:///{path}", with_base_tables=True)
    return path


class Databases:
    """Databases of a server, which are copies of a migrated one."""

    def __init__(self, server: TemporaryPostgres) -> None:
        self._server = server
        self._template = runs.shared(f"template-{server.port}", self._migrated)

    def _migrated(self) -> str:
        url = self._server.create_database()
        migrate.upgrade(url, with_base_tables=True)
        return url.rpartition("/")[2]

    @contextmanager
    def copy(self, driver: str) -> Iterator[str]:
        name = f"test_{uuid.uuid4().hex}"
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        url = self._server.url(driver, name)
        yield url
        self._server.drop_database(url)


@pytest.fixture(scope="session")
def databases(postgres: TemporaryPostgres) -> Databases:
    return Databases(postgres)


@pytest.fixture(scope="session")
def newest_databases(newest_postgres: TemporaryPostgres) -> Databases:
    return Databases(newest_postgres)


@pytest.fixture
def sqlite_host(migrated_sqlite: Path, tmp_path: Path) -> Host:
    path = tmp_path / "host.sqlite"
    shutil.copy(migrated_sqlite, path)
    return Host(f"sqlite:///{path}")


@pytest.fixture
def postgres_host(databases: Databases) -> Iterator[Host]:
    with databases.copy("psycopg2") as url, Host(url) as host:
        yield host


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests with a `host` on SQLite and one PostgreSQL, of those that their module names in `HOSTS`.

    In the whole matrix they run on all of these, and so they do if the module sets `EVERY_HOST = True`,
    because its statements or connections differ between hosts. A test may parametrize `host` itself.
    """
    chosen = any(mark.args[0] == "host" for mark in metafunc.definition.iter_markers("parametrize"))
    if "host" in metafunc.fixturenames and not chosen:
        hosts: tuple[str, ...] = getattr(metafunc.module, "HOSTS", ALL_HOSTS)
        if not (whole_matrix() or getattr(metafunc.module, "EVERY_HOST", False)):
            hosts = _representative(hosts)
        metafunc.parametrize("host", hosts, indirect=True)


def _representative(hosts: Sequence[str]) -> tuple[str, ...]:
    """Return SQLite, if it is among the hosts, and the strictest PostgreSQL among them."""
    postgres = [host for host in STRICT_FIRST if host in hosts]
    return (*(host for host in hosts if host == "sqlite"), *postgres[:1])


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host on SQLite, on PostgreSQL with either driver, on the newest one, and behind PgBouncer."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_host")
        return
    is_newest = request.param == "newest"
    copies: Databases = request.getfixturevalue("newest_databases" if is_newest else "databases")
    with copies.copy("psycopg2" if request.param == "psycopg2" else "psycopg") as url:
        through = request.getfixturevalue("pgbouncer").through if request.param == "pgbouncer" else str
        with Host(through(url)) as host:
            yield host


@pytest.fixture
def engine(host: Host) -> Iterator[Engine]:
    """An engine for the host's database, as the writer has it."""
    engine = create_engine(host.url)
    yield engine
    engine.dispose()
