"""A database in use: the host is not stopped, two migrators do not collide, a crash does no harm."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from exporters.sql.schema import migrate
from exporters.sql.schema.migration_lock import LOCK_TIMEOUT
from tests.migrations.databases import added_by_us, columns_of, create_host, engine_of, indexes_of, picture

ROOT = Path(__file__).parents[2]
LOCKED_OUT = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'analyses'::regclass"
"""How many sessions wait for the table (PostgreSQL)."""


@pytest.fixture
def busy_url(postgres_url: str) -> str:
    """A host's PostgreSQL database before telemetry."""
    create_host(postgres_url)
    return postgres_url


@contextmanager
def host_transaction(url: str, statement: str) -> Iterator[sa.Connection]:
    """A session of the host that ran a statement and keeps its transaction open."""
    with engine_of(url) as engine, engine.connect() as connection:
        connection.execute(sa.text(statement))
        yield connection
        connection.rollback()


@contextmanager
def in_background(action: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Run `action` in a thread that has ended when the block has; yields what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        thread.join(60)
    assert not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass within 60 s"
        time.sleep(0.02)


def scalar(url: str, query: str) -> object:
    """The only value of a query's only row, seen from a session of its own."""
    with engine_of(url) as engine, engine.connect() as connection:
        return connection.scalar(sa.text(query))


def start_migrator(url: str) -> subprocess.Popen[str]:
    """Another process that upgrades the database."""
    code = "import sys; from exporters.sql.schema import migrate; migrate.upgrade(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(*migrators: subprocess.Popen[str]) -> None:
    """All of them end well."""
    for migrator in migrators:
        _, errors = migrator.communicate(timeout=300)
        assert migrator.returncode == 0, errors


def test_two_migrators_at_once(busy_url: str) -> None:
    """One migrates while the other waits its turn; both succeed, and everything is added once."""
    with host_transaction(busy_url, "SELECT * FROM analyses"):
        migrators = start_migrator(busy_url), start_migrator(busy_url)
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        wait_until(lambda: scalar(busy_url, others) == 4)  # the host's, both migrators', and the one asking
        wait_until(lambda: scalar(busy_url, LOCKED_OUT) == 1)
    finish(*migrators)

    assert migrate.current(busy_url) == migrate.head()
    assert ("analyses", "index", "idx_analyses_completed_at") in added_by_us(busy_url)


def test_two_migrators_at_once_on_sqlite(sqlite_url: str) -> None:
    """Two processes that find the file locked and then start together both succeed."""
    create_host(sqlite_url)
    with host_transaction(sqlite_url, "UPDATE users SET email = 'ada@example.org'"):
        migrators = start_migrator(sqlite_url), start_migrator(sqlite_url)
        time.sleep(1)  # nothing to ask who waits for a file
    finish(*migrators)

    assert migrate.current(sqlite_url) == migrate.head()


def test_the_host_is_not_stopped(busy_url: str) -> None:
    """Behind a host session that stays open a migration waits in short tries, and requests pass between."""
    longest = 0.0
    with in_background(lambda: migrate.upgrade(busy_url)) as raised:
        with host_transaction(busy_url, "SELECT * FROM analyses"):
            wait_until(lambda: scalar(busy_url, LOCKED_OUT) == 1)
            until = time.monotonic() + 1.5
            with engine_of(busy_url) as engine, engine.connect() as request:
                while time.monotonic() < until:
                    began = time.monotonic()
                    request.execute(sa.text("SELECT count(*) FROM analyses"))
                    request.rollback()
                    longest = max(longest, time.monotonic() - began)
            assert migrate.current(busy_url) == "2_telemetry_tables"

    assert raised == []
    assert migrate.current(busy_url) == migrate.head()
    assert longest < 1


def test_patience_runs_out(busy_url: str) -> None:
    """A session that never ends is blamed in one line; its table is untouched, and the next try goes on."""
    before = picture(busy_url)
    with host_transaction(busy_url, "SELECT * FROM analyses"):
        with pytest.raises(migrate.MigrationError) as error:
            migrate.upgrade(busy_url, patience=0.5)
        assert picture(busy_url)["analyses"] == before["analyses"]

    message = str(error.value)
    assert "\n" not in message
    assert "gave up after 0.5 s on 'ALTER TABLE analyses" in message
    assert "pg_stat_activity" in message
    migrate.upgrade(busy_url)
    assert migrate.current(busy_url) == migrate.head()


def test_no_table_stays_locked_while_another_is_waited_for(busy_url: str) -> None:
    """A session in the way of `users` keeps nobody from `analyses`, whose columns are there by then."""
    free = "SELECT count(*) FROM pg_locks WHERE relation = 'analyses'::regclass AND mode LIKE '%Exclusive%'"
    waiting = LOCKED_OUT.replace("analyses", "users")
    for migration in (migrate.upgrade, migrate.downgrade):
        with in_background(partial(migration, busy_url)) as raised:
            with host_transaction(busy_url, "SELECT * FROM users"):
                wait_until(lambda: scalar(busy_url, waiting) == 1)
                assert scalar(busy_url, free) == 0
                is_there = "api_calls_made" in columns_of(busy_url, "analyses")
                assert is_there is (migration is migrate.upgrade)
        assert raised == []


def test_a_downgrade_after_an_upgrade_that_was_broken_off(busy_url: str) -> None:
    """What the unfinished revision had added goes, too, and is named before."""
    before = picture(busy_url)
    with host_transaction(busy_url, "SELECT * FROM users"):
        with pytest.raises(migrate.MigrationError, match="'ALTER TABLE users"):
            migrate.upgrade(busy_url, patience=0.5)
    assert migrate.current(busy_url) == "2_telemetry_tables"
    with engine_of(busy_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE analyses SET api_calls_made = 7 WHERE id = 2")

    lost = [str(loss) for loss in migrate.downgrade_losses(busy_url)]
    migrate.downgrade(busy_url)

    assert "column analyses.api_calls_made: a value in 1 row" in lost
    assert picture(busy_url) == before


def test_patience_runs_out_on_sqlite(sqlite_url: str) -> None:
    """A writer that never ends is blamed in one line, and the file is untouched."""
    create_host(sqlite_url)
    before = picture(sqlite_url)
    impatient = sa.create_engine(sqlite_url, poolclass=sa.NullPool, connect_args={"timeout": 0.05})
    with host_transaction(sqlite_url, "UPDATE users SET id = id"):
        with pytest.raises(migrate.MigrationError, match=r"gave up after 0.2 s .*another session holds"):
            migrate.upgrade(impatient, patience=0.2)

    assert picture(sqlite_url) == before


def test_another_migrator_never_ends(busy_url: str) -> None:
    """A migrator that finds another one at work for too long says so."""
    with host_transaction(busy_url, "SELECT * FROM analyses"):
        migrator = start_migrator(busy_url)
        wait_until(lambda: scalar(busy_url, LOCKED_OUT) == 1)

        with pytest.raises(
            migrate.MigrationError, match="another migration of this database has been running"
        ):
            migrate.upgrade(busy_url, patience=0.3)
    finish(migrator)


def upgrade_up_to_its_indexes(url: str) -> None:
    """Add the columns of `analyses`, and break off before `users` and before any index."""
    with host_transaction(url, "SELECT * FROM users"), pytest.raises(migrate.MigrationError):
        migrate.upgrade(url, patience=0.3)
    assert "api_calls_made" in columns_of(url, "analyses")


def test_a_crash_while_an_index_is_built(busy_url: str) -> None:
    """An index left invalid by a crash is built anew, and still counts as ours."""
    upgrade_up_to_its_indexes(busy_url)
    building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for writers%'"
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    writing = "UPDATE analyses SET num_candidates = num_candidates"
    with in_background(lambda: migrate.upgrade(busy_url)) as raised, host_transaction(busy_url, writing):
        wait_until(lambda: scalar(busy_url, building) == 1)
        scalar(busy_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
        wait_until(lambda: scalar(busy_url, building) == 0)
    assert len(raised) == 1
    assert scalar(busy_url, invalid) == 1

    migrate.upgrade(busy_url)

    assert scalar(busy_url, invalid) == 0
    assert "idx_analyses_completed_at" in indexes_of(busy_url, "analyses")
    migrate.downgrade(busy_url)
    assert "idx_analyses_completed_at" not in indexes_of(busy_url, "analyses")


def test_an_index_is_built_while_the_host_writes(busy_url: str) -> None:
    """While an index waits for a writer to end, others go on writing, and it is not begun all over again."""
    upgrade_up_to_its_indexes(busy_url)
    building = "SELECT index_relid FROM pg_stat_progress_create_index"
    with in_background(lambda: migrate.upgrade(busy_url)) as raised:
        with host_transaction(busy_url, "UPDATE analyses SET num_candidates = 9 WHERE id = 1"):
            wait_until(lambda: bool(scalar(busy_url, building)))
            index = scalar(busy_url, building)
            with engine_of(busy_url) as engine, engine.begin() as connection:
                connection.execute(sa.text("SET lock_timeout = '1s'"))
                connection.execute(sa.text("UPDATE analyses SET num_candidates = 8 WHERE id = 2"))
            time.sleep(2 * LOCK_TIMEOUT)
            assert scalar(busy_url, building) == index

    assert raised == []
    assert migrate.current(busy_url) == migrate.head()


def test_an_index_may_take_longer_than_a_request(busy_url: str) -> None:
    """A statement timeout meant for the host's requests does not cut an index short."""
    upgrade_up_to_its_indexes(busy_url)
    with engine_of(busy_url) as engine, engine.begin() as connection:
        name = sa.make_url(busy_url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET statement_timeout = '300ms'")
    building = "SELECT count(*) FROM pg_stat_progress_create_index"
    with in_background(lambda: migrate.upgrade(busy_url)) as raised:
        with host_transaction(busy_url, "UPDATE analyses SET num_candidates = num_candidates"):
            wait_until(lambda: scalar(busy_url, building) == 1)
            time.sleep(0.6)

    assert raised == []
    assert migrate.current(busy_url) == migrate.head()


def test_a_failure_half_way_on_sqlite(sqlite_url: str) -> None:
    """On SQLite a migration whose last step fails has changed nothing."""
    create_host(sqlite_url)
    with engine_of(sqlite_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE idx_users_last_active (id INTEGER)"))
    before = picture(sqlite_url)

    with pytest.raises(migrate.MigrationError, match="refused 'CREATE INDEX idx_users_last_active.*already"):
        migrate.upgrade(sqlite_url)

    assert picture(sqlite_url) == before
