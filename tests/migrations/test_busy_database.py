"""Migrations of a database in use: they block nothing for long, run once at a time, and survive a crash."""

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
from tests.migrations.databases import additions_of, columns_of, create_host, describe, engine_of, indexes_of
from tests.waiting import until

ROOT = Path(__file__).parents[2]
LOCKS = """(SELECT l.* FROM pg_locks l JOIN pg_database d ON l.database = d.oid
    WHERE d.datname = current_database()) AS locks"""
"""Those of the test's database: other tests use the same server at the same time."""
WAITING_FOR_LOCK = f"SELECT count(*) FROM {LOCKS} WHERE NOT granted AND relation = 'analyses'::regclass"
"""Counts the sessions that wait for a lock on the table (PostgreSQL)."""
INDEXES_BEING_BUILT = "pg_stat_progress_create_index WHERE datname = current_database()"


@pytest.fixture
def busy_url(postgres_url: str) -> str:
    """A host's PostgreSQL database before telemetry is added."""
    create_host(postgres_url)
    return postgres_url


@contextmanager
def host_transaction(url: str, statement: str) -> Iterator[sa.Connection]:
    """Run a statement in a session of the host, and keep its transaction open."""
    with engine_of(url) as engine, engine.connect() as connection:
        connection.execute(sa.text(statement))
        yield connection
        connection.rollback()


@contextmanager
def in_background(action: Callable[[], None]) -> Iterator[list[BaseException]]:
    """Run `action` in a thread that ends before the block does; yields the list of its exceptions."""
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


def scalar(url: str, query: str) -> object:
    """Return the only value of a query's only row, in a session of its own."""
    with engine_of(url) as engine, engine.connect() as connection:
        return connection.scalar(sa.text(query))


def start_migrator(url: str) -> subprocess.Popen[str]:
    """Start another process that upgrades the database."""
    code = "import sys; from exporters.sql.schema import migrate; migrate.upgrade(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(*migrators: subprocess.Popen[str]) -> None:
    """Wait for migrators, all of which must succeed."""
    for migrator in migrators:
        _, errors = migrator.communicate(timeout=300)
        assert migrator.returncode == 0, errors


def test_concurrent_migrators_both_succeed(busy_url: str) -> None:
    """One waits for the other, and everything is added once."""
    with host_transaction(busy_url, "SELECT * FROM analyses"):
        migrators = start_migrator(busy_url), start_migrator(busy_url)
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        until(lambda: scalar(busy_url, others) == 4)  # the host's, two of the migrators, and this one
        until(lambda: scalar(busy_url, WAITING_FOR_LOCK) == 1)
    finish(*migrators)

    assert migrate.current(busy_url) == migrate.head()
    assert ("analyses", "index", "idx_analyses_completed_at") in additions_of(busy_url)


def test_concurrent_migrators_both_succeed_on_sqlite(sqlite_url: str) -> None:
    """They do so even if both wait for the same lock of the file."""
    create_host(sqlite_url)
    with host_transaction(sqlite_url, "UPDATE users SET email = 'ada@example.org'"):
        migrators = start_migrator(sqlite_url), start_migrator(sqlite_url)
        time.sleep(1)  # SQLite cannot tell who waits for a file
    finish(*migrators)

    assert migrate.current(sqlite_url) == migrate.head()


def test_waiting_migration_does_not_block_requests(busy_url: str) -> None:
    """Behind an open session of the host it waits in short attempts, between which requests proceed."""
    with in_background(lambda: migrate.upgrade(busy_url)) as raised:
        with host_transaction(busy_url, "SELECT * FROM analyses"):
            until(lambda: scalar(busy_url, WAITING_FOR_LOCK) == 1)
            end = time.monotonic() + 1.5
            with engine_of(busy_url) as engine, engine.connect() as request:
                request.execute(
                    sa.text("SET lock_timeout = '30s'")
                )  # without attempts it would wait for ever
                request.commit()
                while time.monotonic() < end:
                    request.execute(sa.text("SELECT count(*) FROM analyses"))
                    request.rollback()
            assert migrate.current(busy_url) == "2_telemetry_tables"

    assert raised == []
    assert migrate.current(busy_url) == migrate.head()


def test_migration_gives_up_on_a_locked_table(busy_url: str) -> None:
    """One line names the statement and where to look; the table is unchanged, and a later upgrade works."""
    before = describe(busy_url)
    with host_transaction(busy_url, "SELECT * FROM analyses"):
        with pytest.raises(migrate.MigrationError) as error:
            migrate.upgrade(busy_url, patience=0.5)
        assert describe(busy_url)["analyses"] == before["analyses"]

    message = str(error.value)
    assert "\n" not in message
    assert "gave up after 0.5 s on 'ALTER TABLE analyses" in message
    assert "pg_stat_activity" in message
    migrate.upgrade(busy_url)
    assert migrate.current(busy_url) == migrate.head()


def test_migration_holds_no_lock_while_it_waits_for_another(busy_url: str) -> None:
    """While it waits for `users`, the table `analyses` is not locked, and has its columns already."""
    free = f"SELECT count(*) FROM {LOCKS} WHERE relation = 'analyses'::regclass AND mode LIKE '%Exclusive%'"
    waiting = WAITING_FOR_LOCK.replace("analyses", "users")
    for migration in (migrate.upgrade, migrate.downgrade):
        with in_background(partial(migration, busy_url)) as raised:
            with host_transaction(busy_url, "SELECT * FROM users"):
                until(lambda: scalar(busy_url, waiting) == 1)
                assert scalar(busy_url, free) == 0
                has_column = "api_calls_made" in columns_of(busy_url, "analyses")
                assert has_column is (migration is migrate.upgrade)
        assert raised == []


def test_downgrade_after_an_incomplete_upgrade(busy_url: str) -> None:
    """Additions of the incomplete revision are dropped, too, and listed before."""
    before = describe(busy_url)
    with host_transaction(busy_url, "SELECT * FROM users"):
        with pytest.raises(migrate.MigrationError, match="'ALTER TABLE users"):
            migrate.upgrade(busy_url, patience=0.5)
    assert migrate.current(busy_url) == "2_telemetry_tables"
    with engine_of(busy_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE analyses SET api_calls_made = 7 WHERE id = 2")

    lost = [str(loss) for loss in migrate.downgrade_losses(busy_url)]
    migrate.downgrade(busy_url)

    assert "column analyses.api_calls_made: a value in 1 row" in lost
    assert describe(busy_url) == before


def test_migration_gives_up_on_a_locked_file(sqlite_url: str) -> None:
    """One line says that another session holds the lock, and the file is unchanged."""
    create_host(sqlite_url)
    before = describe(sqlite_url)
    impatient = sa.create_engine(sqlite_url, poolclass=sa.NullPool, connect_args={"timeout": 0.05})
    with host_transaction(sqlite_url, "UPDATE users SET id = id"):
        with pytest.raises(migrate.MigrationError, match=r"gave up after 0.2 s .*another session holds"):
            migrate.upgrade(impatient, patience=0.2)

    assert describe(sqlite_url) == before


def test_migration_gives_up_on_another_migration(busy_url: str) -> None:
    """The message says that another migration has been running."""
    with host_transaction(busy_url, "SELECT * FROM analyses"):
        migrator = start_migrator(busy_url)
        until(lambda: scalar(busy_url, WAITING_FOR_LOCK) == 1)

        with pytest.raises(
            migrate.MigrationError, match="another migration of this database has been running"
        ):
            migrate.upgrade(busy_url, patience=0.3)
    finish(migrator)


def upgrade_up_to_its_indexes(url: str) -> None:
    """Add the columns of `analyses`, and fail before `users` and before any index."""
    with host_transaction(url, "SELECT * FROM users"), pytest.raises(migrate.MigrationError):
        migrate.upgrade(url, patience=0.3)
    assert "api_calls_made" in columns_of(url, "analyses")


def test_index_that_a_crash_left_invalid_is_rebuilt(busy_url: str) -> None:
    """It is still recorded as an addition."""
    upgrade_up_to_its_indexes(busy_url)
    building = f"SELECT count(*) FROM {INDEXES_BEING_BUILT} AND phase LIKE 'waiting for writers%'"
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    writing = "UPDATE analyses SET num_candidates = num_candidates"
    with in_background(lambda: migrate.upgrade(busy_url)) as raised, host_transaction(busy_url, writing):
        until(lambda: scalar(busy_url, building) == 1)
        scalar(busy_url, f"SELECT pg_terminate_backend(pid) FROM {INDEXES_BEING_BUILT}")
        until(lambda: scalar(busy_url, building) == 0)
    assert len(raised) == 1
    assert scalar(busy_url, invalid) == 1

    migrate.upgrade(busy_url)

    assert scalar(busy_url, invalid) == 0
    assert "idx_analyses_completed_at" in indexes_of(busy_url, "analyses")
    migrate.downgrade(busy_url)
    assert "idx_analyses_completed_at" not in indexes_of(busy_url, "analyses")


def test_index_is_built_while_the_host_writes(busy_url: str) -> None:
    """While an index waits for a writer to end, others can write, and it is not started again."""
    upgrade_up_to_its_indexes(busy_url)
    building = f"SELECT index_relid FROM {INDEXES_BEING_BUILT}"
    with in_background(lambda: migrate.upgrade(busy_url)) as raised:
        with host_transaction(busy_url, "UPDATE analyses SET num_candidates = 9 WHERE id = 1"):
            until(lambda: bool(scalar(busy_url, building)))
            index = scalar(busy_url, building)
            with engine_of(busy_url) as engine, engine.begin() as connection:
                connection.execute(sa.text("SET lock_timeout = '30s'"))
                connection.execute(sa.text("UPDATE analyses SET num_candidates = 8 WHERE id = 2"))
            time.sleep(2 * LOCK_TIMEOUT)
            assert scalar(busy_url, building) == index

    assert raised == []
    assert migrate.current(busy_url) == migrate.head()


def test_index_may_take_longer_than_statement_timeout(busy_url: str) -> None:
    """A timeout that is meant for the host's requests does not abort it."""
    upgrade_up_to_its_indexes(busy_url)
    with engine_of(busy_url) as engine, engine.begin() as connection:
        name = sa.make_url(busy_url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET statement_timeout = '300ms'")
    building = f"SELECT count(*) FROM {INDEXES_BEING_BUILT}"
    with in_background(lambda: migrate.upgrade(busy_url)) as raised:
        with host_transaction(busy_url, "UPDATE analyses SET num_candidates = num_candidates"):
            until(lambda: scalar(busy_url, building) == 1)
            time.sleep(0.6)

    assert raised == []
    assert migrate.current(busy_url) == migrate.head()


def test_failed_migration_changes_nothing_on_sqlite(sqlite_url: str) -> None:
    """It is one transaction, even if its last step fails."""
    create_host(sqlite_url)
    with engine_of(sqlite_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE idx_users_last_active (id INTEGER)"))
    before = describe(sqlite_url)

    with pytest.raises(migrate.MigrationError, match="refused 'CREATE INDEX idx_users_last_active.*already"):
        migrate.upgrade(sqlite_url)

    assert describe(sqlite_url) == before
