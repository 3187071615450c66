"""Databases that are migrated already, once for each kind, copied for each test."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from exporters import migrate
from tests.exporters.makers import Host
from tests.postgres import TemporaryPostgres

# A busy machine is no failure.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "host.sqlite"
    migrate.upgrade(f"sqlite:///{path}", with_base_tables=True)
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: TemporaryPostgres) -> str:
    url = postgres.create_database()
    migrate.upgrade(url, with_base_tables=True)
    return url


@pytest.fixture
def sqlite_host(migrated_sqlite: Path, tmp_path: Path) -> Host:
    path = tmp_path / "host.sqlite"
    shutil.copy(migrated_sqlite, path)
    return Host(f"sqlite:///{path}")


@pytest.fixture
def postgres_host(postgres: TemporaryPostgres, migrated_postgres: str) -> Iterator[Host]:
    name = f"test_{uuid.uuid4().hex}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_postgres.rpartition('/')[2]}")
    url = postgres.url(dbname=name)
    yield Host(url)
    postgres.drop_database(url)


@pytest.fixture(params=["sqlite", "psycopg2", "psycopg"])
def host(request: pytest.FixtureRequest) -> Host:
    """A host on SQLite, and on PostgreSQL with either driver."""
    fixture = "sqlite_host" if request.param == "sqlite" else "postgres_host"
    found: Host = request.getfixturevalue(fixture)
    return Host(found.url.replace("psycopg2", request.param))
