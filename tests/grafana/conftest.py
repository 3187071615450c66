"""Databases as Grafana sees them: in the role for dashboards, which reads views only."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row

from examples.screener.history.history import History
from examples.screener.history.writing import write
from exporters.sql.schema import migrate
from exporters.sql.schema.roles import role_sql
from tests.grafana.rows import Tables
from tests.postgres import TemporaryPostgres

ANALYSES = 900
"""About as many as a small host has in three years; the last of them are a year old at most."""
USERS = 40
ODD = """
UPDATE telemetry_runs SET cost_complete = false, unpriced = 2 WHERE run_id IN (
  SELECT run_id FROM telemetry_runs ORDER BY started_at DESC LIMIT 3);
UPDATE telemetry_stage_usage SET usage_missing = 1, unpriced = 2 WHERE operation <> '' AND run_id IN (
  SELECT run_id FROM telemetry_runs ORDER BY started_at DESC LIMIT 3);
UPDATE telemetry_stage_usage SET quota_hits = 1 WHERE operation <> '' AND run_id IN (
  SELECT run_id FROM telemetry_runs WHERE rate_limit_hits > 0);
UPDATE telemetry_runs SET quota_hits = 1 WHERE rate_limit_hits > 0;
INSERT INTO telemetry_runs
  (run_id, kind, source, synthetic, version, status, started_at, cost_pico, cost_complete)
  VALUES ('{orphan}', 'orphan', 'spans', false, 1, 'completed', timezone('utc', now()) - interval '2 days',
    123456789012, true);
UPDATE telemetry_stage_usage SET errors = 1 WHERE operation <> '' AND run_id IN (
  SELECT run_id FROM telemetry_runs WHERE status = 'failed');
UPDATE telemetry_runs SET error_types = '[{{"stage": "ranking", "type": "ValueError", "count": 1}}]'
  WHERE analysis_ref = (SELECT max(analysis_ref) FROM telemetry_runs);
INSERT INTO system_health_log
  (log_date, jobs_completed, jobs_failed, rate_limit_incidents, total_candidates_processed)
  VALUES (current_date - 1, 3, 0, 1, 70);
INSERT INTO telemetry_stage_usage (run_id, stage, operation, model, calls, attempts, cost_pico)
  VALUES ('{orphan}', 'unattributed', 'chat', 'gpt-4o-mini', 3, 3, 123456789012);
""".format(orphan="0" * 32)
"""What a history lacks: calls of unknown cost, refused jobs, calls outside any run."""


@dataclass(frozen=True)
class Database:
    """A database, for its owner and for the role of dashboards."""

    url: str
    reader_url: str


@contextmanager
def database(server: TemporaryPostgres, analyses: int, documents_days: int = 360) -> Iterator[Database]:
    """Provide a migrated database with a role for dashboards."""
    url, role = server.create_database("psycopg2"), f"panels_{uuid.uuid4().hex[:12]}"
    migrate.upgrade(url, with_base_tables=True)
    if analyses:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        today, users = datetime.now(UTC).date(), max(USERS, analyses // 200)
        write(engine, History(analyses, today, documents_days=documents_days, users=users))
    plain = sa.make_url(url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        if analyses:
            connection.execute(ODD.encode())
        connection.execute(role_sql(url, role).encode())
        yield Database(url, plain.set(username=role).render_as_string(hide_password=False))
        connection.execute(f"DROP OWNED BY {role}".encode())
    server.drop_database(url)
    server.execute(f"DROP ROLE {role}")


@pytest.fixture(scope="session")
def filled(postgres: TemporaryPostgres) -> Iterator[Database]:
    """A database with a history of three years."""
    with database(postgres, ANALYSES) as made:
        yield made


@pytest.fixture(scope="session")
def empty(postgres: TemporaryPostgres) -> Iterator[Database]:
    """A database in which nothing has happened."""
    with database(postgres, 0) as made:
        yield made


@pytest.fixture(scope="session")
def reader(filled: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection in the role for dashboards."""
    with psycopg.connect(filled.reader_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def tables(filled: Database, reader: psycopg.Connection[tuple[Any, ...]]) -> Iterator[Tables]:
    """The tables, for their owner, and the panels, for the role of dashboards."""
    plain = filled.url.replace("postgresql+psycopg2", "postgresql")
    with psycopg.connect(plain, row_factory=dict_row, autocommit=True) as owner:
        yield Tables(owner, reader)
