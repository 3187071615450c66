"""Upgrades and downgrades of databases that are empty at first."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from exporters.sql.schema import migrate, tables
from tests.migrations.databases import additions_of, columns_of, describe, engine_of, indexes_of, tables_of
from tests.postgres import TemporaryPostgres

ROOT = Path(__file__).parents[2]
BASE_TABLES = {"users", "analyses", "candidate_files"}


def differences(url: str, target: sa.MetaData) -> list[Any]:
    """Return the differences between a database and `target`, in the tables of `target`."""
    with engine_of(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_name": lambda name, type_, _: type_ != "table" or name in target.tables,
                "compare_type": True,
                "compare_server_default": True,
            },
        )
        return list(compare_metadata(context, target))


def our_tables(url: str) -> dict[str, Any]:
    """Describe telemetry's tables, without their rows."""
    seen = describe(url)
    return {name: {**seen[name], "rows": None} for name in tables.metadata.tables}


def views_of(url: str) -> set[str]:
    """Return the names of all views."""
    with engine_of(url) as engine:
        return set(sa.inspect(engine).get_view_names())


def test_up_down_and_up_again(database_url: str) -> None:
    """An empty database is upgraded to the head, downgraded to nothing, and upgraded again."""
    migrate.upgrade(database_url, with_base_tables=True)
    assert migrate.current(database_url) == migrate.head()
    assert tables_of(database_url) == BASE_TABLES | set(tables.metadata.tables) | {migrate.VERSION_TABLE}

    migrate.downgrade(database_url)
    assert migrate.current(database_url) is None
    assert tables_of(database_url) == set()

    migrate.upgrade(database_url, with_base_tables=True)
    assert migrate.current(database_url) == migrate.head()


def test_psycopg_3_is_supported(postgres: TemporaryPostgres) -> None:
    """Migrations work with either driver of PostgreSQL."""
    url = postgres.create_database("psycopg")

    migrate.upgrade(url, with_base_tables=True)
    assert migrate.current(url) == migrate.head()

    migrate.downgrade(url)
    assert tables_of(url) == set()


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    """The recorded additions stay the same."""
    migrate.upgrade(database_url, with_base_tables=True)
    before = additions_of(database_url)

    migrate.upgrade(database_url)

    assert additions_of(database_url) == before


def test_engine_of_the_host_may_be_used(database_url: str) -> None:
    """It is as usable afterwards as before."""
    engine = sa.create_engine(database_url)

    migrate.upgrade(engine, with_base_tables=True)

    assert migrate.current(engine) == migrate.head()
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO telemetry_counters VALUES ('run', 'retries', 1)"))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT value FROM telemetry_counters")) == 1
        if engine.dialect.name == "postgresql":
            assert connection.scalar(sa.text("SHOW lock_timeout")) == "0"
    engine.dispose()


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_sqlite_engine_with_begin_listeners_may_be_used(begin: str, sqlite_url: str) -> None:
    """These are the listeners that SQLAlchemy documents for real transactions."""
    engine = sa.create_engine(sqlite_url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    migrate.upgrade(engine, with_base_tables=True)
    assert migrate.current(engine) == migrate.head()
    migrate.downgrade(engine)
    assert tables_of(sqlite_url) == set()


def test_database_in_memory_may_be_migrated() -> None:
    """Its only connection is used, and works afterwards."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)

    migrate.upgrade(engine, with_base_tables=True)

    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO telemetry_counters VALUES ('run', 'retries', 1)"))
    assert migrate.current(engine) == migrate.head()
    engine.dispose()


def test_migrated_tables_equal_the_models(database_url: str) -> None:
    """Alembic finds no difference between them and `exporters.sql.schema.tables`."""
    migrate.upgrade(database_url, with_base_tables=True)

    assert differences(database_url, tables.metadata) == []


def test_migrated_tables_equal_those_of_create_all(database_url: str) -> None:
    """This covers what Alembic does not compare: the order of columns, partial and covering indexes."""
    migrate.upgrade(database_url, with_base_tables=True)
    migrated = our_tables(database_url)
    migrate.downgrade(database_url)
    migrate.upgrade(database_url, with_base_tables=True, revision="1_base_tables")

    with engine_of(database_url) as engine:
        tables.metadata.create_all(engine)

    assert our_tables(database_url) == migrated


@pytest.mark.parametrize("table", tables.HOST_COLUMNS)
def test_added_columns_equal_the_models(table: str, database_url: str) -> None:
    """Columns added to the host's tables have the declared types, are nullable, and have no default."""
    migrate.upgrade(database_url, with_base_tables=True)

    with engine_of(database_url) as engine:
        columns = {column["name"]: column for column in sa.inspect(engine).get_columns(table)}
        for column in tables.HOST_COLUMNS[table]:
            actual = columns[column.name]
            assert actual["type"].compile(engine.dialect) == column.type.compile(engine.dialect)
            assert actual["nullable"]
            assert actual["default"] is None


def test_host_indexes_are_created(database_url: str) -> None:
    """Every declared index of the host's tables exists."""
    migrate.upgrade(database_url, with_base_tables=True)

    for index in tables.HOST_INDEXES:
        assert index.name in indexes_of(database_url, index.table)


def test_downgrade_to_a_revision(database_url: str) -> None:
    """It drops only what later revisions added, and an upgrade continues from there."""
    migrate.upgrade(database_url, with_base_tables=True)

    for revision, has_columns, has_tables in (
        ("3_host_columns", True, True),
        ("2_telemetry_tables", False, True),
        ("1_base_tables", False, False),
    ):
        migrate.downgrade(database_url, revision)

        assert migrate.current(database_url) == revision
        assert views_of(database_url) == set()
        assert ("total_jobs_run" in columns_of(database_url, "users")) is has_columns
        assert ("chunk_count" in columns_of(database_url, "candidate_files")) is has_columns
        assert ("idx_analyses_status" in indexes_of(database_url, "analyses")) is has_columns
        assert ("document_warnings" in tables_of(database_url)) is has_tables
        assert tables_of(database_url) > BASE_TABLES
    migrate.upgrade(database_url)
    assert "total_jobs_run" in columns_of(database_url, "users")
    assert views_of(database_url) == set(tables.VIEWS)


def test_dropped_table_is_no_longer_an_addition(database_url: str) -> None:
    """A table that the host creates under its name later belongs to the host."""
    migrate.upgrade(database_url, with_base_tables=True)
    with engine_of(database_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE telemetry_found")

    migrate.downgrade(database_url, "1_base_tables")

    assert ("telemetry_found", "table", "telemetry_found") not in additions_of(database_url)


def test_database_time_is_utc(postgres_url: str) -> None:
    """Times that the database writes itself are UTC, even if its time zone is another."""
    with engine_of(postgres_url) as engine, engine.begin() as connection:
        name = sa.make_url(postgres_url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'")

    migrate.upgrade(postgres_url, with_base_tables=True)

    with engine_of(postgres_url) as engine, engine.connect() as connection:
        added_at = connection.scalars(sa.select(tables.added_objects.c.added_at)).first()
    assert added_at is not None
    assert abs(datetime.now(UTC).replace(tzinfo=None) - added_at) < timedelta(minutes=5)


def test_warning_is_deleted_with_its_analysis(postgres_url: str) -> None:
    """When the host deletes an analysis, its warnings are deleted, and its run stays."""
    migrate.upgrade(postgres_url, with_base_tables=True)
    with engine_of(postgres_url) as engine, engine.begin() as connection:
        for statement in (
            "INSERT INTO users (id, email, password_hash, name, created_at) VALUES (1, 'a', 'b', 'c', now())",
            "INSERT INTO analyses (id, user_id, num_candidates, num_criteria, cost_usd, created_at)"
            " VALUES (1, 1, 1, 1, 1, now())",
            "INSERT INTO document_warnings (analysis_id, user_id, warning_type) VALUES (1, 1, 'jd_too_long')",
            "INSERT INTO telemetry_runs"
            " (run_id, kind, source, synthetic, analysis_ref, version, status, cost_complete)"
            " VALUES ('r', 'analysis', 'spans', false, 1, 1, 'completed', true)",
            "DELETE FROM analyses",
        ):
            connection.exec_driver_sql(statement)
        assert connection.scalar(sa.text("SELECT count(*) FROM document_warnings")) == 0
        assert connection.scalar(sa.text("SELECT count(*) FROM telemetry_runs")) == 1


@pytest.mark.parametrize("layout", ["installed", "checkout"])
def test_migration_scripts_are_found(layout: str, tmp_path: Path) -> None:
    """They are found inside the installed package, and beside it in a checkout."""
    inside = tmp_path / "exporters" if layout == "installed" else tmp_path
    shutil.copytree(ROOT / "exporters", tmp_path / "exporters", ignore=shutil.ignore_patterns("migrations"))
    shutil.copytree(ROOT / "migrations", inside / "migrations")
    code = (
        "from exporters.sql.schema import migrate\n"
        "migrate.upgrade('sqlite:///here.sqlite', with_base_tables=True)\n"
        "print(migrate.__file__, migrate.current('sqlite:///here.sqlite'))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == [str(tmp_path / "exporters/sql/schema/migrate.py"), migrate.head()]
