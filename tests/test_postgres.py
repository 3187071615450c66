"""The temporary PostgreSQL server that other tests use."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests import postgres as module
from tests.postgres import PostgresUnavailable, TemporaryPostgres, available_binaries, bundled_binaries


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_databases_are_empty_and_separate(postgres: TemporaryPostgres, driver: str) -> None:
    """This holds through either driver."""
    one, other = (create_engine(postgres.create_database(driver)) for _ in range(2))
    with one.begin() as connection:
        connection.execute(text("CREATE TABLE things (id INTEGER)"))

    with other.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('things')")).scalar() is None
    for engine in (one, other):
        engine.dispose()


def test_database_url_is_usable_on_either_kind(database_url: str) -> None:
    """The parametrised fixture answers queries on SQLite and on PostgreSQL."""
    engine = create_engine(database_url)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_committed_rows_survive_stop_and_crash() -> None:
    """Data survives an orderly stop and a crash; connections that are open at a crash break."""
    with TemporaryPostgres() as server:
        assert setting(server, "fsync") == "on"
        server.execute("CREATE TABLE things AS SELECT 1 AS id")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url(driver=None))
        server.start()
        with psycopg.connect(server.url(driver=None)) as cut:
            server.execute("INSERT INTO things VALUES (2)")
            server.restart_immediately()
            with pytest.raises(psycopg.OperationalError):
                cut.execute("SELECT 1")
        with psycopg.connect(server.url(driver=None)) as connection:
            assert connection.execute("SELECT sum(id) FROM things").fetchone() == (3,)
    assert not server.directory.exists()


def test_the_shared_server_is_roomy(postgres: TemporaryPostgres) -> None:
    """Tests of many writers, in several processes at once, depend on this."""
    assert setting(postgres, "max_connections") == "200"


def setting(server: TemporaryPostgres, name: str) -> str:
    """Return what a server is set to."""
    with psycopg.connect(server.url(driver=None)) as connection:
        (value,) = connection.execute(f"SHOW {name}").fetchone() or ("",)
        return str(value)


def test_bundled_binaries_work() -> None:
    """A machine without PostgreSQL runs the tests with the binaries of the Python package."""
    newest = bundled_binaries()[-1]

    assert newest.resolve() in available_binaries()
    with TemporaryPostgres(newest) as server, psycopg.connect(server.url(driver=None)) as connection:
        assert connection.info.server_version >= 160000


def test_inaccessible_binaries_are_copied(tmp_path: Path) -> None:
    """A checkout under the home of root works too, although the server may not run as root."""
    package = bundled_binaries()[-1].parents[1]
    tmp_path.chmod(0o700)
    for path in (package, package.with_name(f"{package.name}.libs")):
        (tmp_path / path.name).symlink_to(path)
    hidden = tmp_path / bundled_binaries()[-1].relative_to(package.parent)

    with TemporaryPostgres(hidden) as server:
        server.execute("SELECT 1")


def test_missing_postgres_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says what to do."""
    monkeypatch.setenv("TEST_POSTGRES_BIN", str(tmp_path))

    with pytest.raises(PostgresUnavailable, match=r"^no PostgreSQL 15 or newer found: .*TEST_POSTGRES_BIN$"):
        module.TemporaryPostgres()
