"""Creates a host's database without telemetry, and describes databases for comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


def host_models() -> sa.MetaData:
    """Return the models of a host; telemetry adds some columns and indexes of the same names."""
    models = sa.MetaData()
    sa.Table(
        "users",
        models,
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("email", sa.String(120), nullable=False, unique=True),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("total_jobs_run", sa.SmallInteger(), nullable=False, server_default=sa.text("7")),
    )
    sa.Table(
        "analyses",
        models,
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("num_candidates", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("completed_at", sa.DateTime()),
        sa.Column("processing_duration_seconds", sa.Integer()),
        sa.Column("jd_character_count", sa.SmallInteger()),
        sa.Column("total_api_cost", sa.Numeric(6, 2)),
        sa.Column("status", sa.String(9), nullable=False, server_default="open"),
        sa.Index("idx_analyses_status", "status"),
    )
    sa.Table(
        "candidate_files",
        models,
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("analysis_id", sa.ForeignKey("analyses.id", ondelete="CASCADE"), nullable=False),
        sa.Column("file_name", sa.String(255), nullable=False),
        sa.Column("file_bytes", sa.LargeBinary(), nullable=False),
        sa.Column("chunk_count", sa.SmallInteger()),
    )
    return models


ROWS = (
    "INSERT INTO users (id, email, created_at) VALUES (1, 'ada@example.com', '2026-01-02 03:04:05')",
    "INSERT INTO analyses"
    " (id, user_id, num_candidates, created_at, jd_character_count, total_api_cost, status)"
    " VALUES (1, 1, 3, '2026-01-02 03:04:05', 1234, 0.57, 'done')",
    "INSERT INTO analyses (id, user_id, num_candidates, created_at) VALUES (2, 1, 5, '2026-02-02 03:04:05')",
    "INSERT INTO candidate_files (id, analysis_id, file_name, file_bytes, chunk_count)"
    " VALUES (1, 1, 'cv.txt', '00ff', 4)",
)


def create_host(url: str) -> None:
    """Create a host's tables with data in an empty database."""
    with engine_of(url) as engine, engine.begin() as connection:
        host_models().create_all(connection)
        for row in ROWS:
            connection.execute(sa.text(row))


@contextmanager
def engine_of(url: str) -> Iterator[sa.Engine]:
    """Yield an engine that keeps no connection."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


def tables_of(url: str) -> set[str]:
    """Return the names of all tables."""
    with engine_of(url) as engine:
        return set(sa.inspect(engine).get_table_names())


def columns_of(url: str, table: str) -> dict[str, Any]:
    """Return the columns of a table by name, with types as text."""
    with engine_of(url) as engine:
        columns = sa.inspect(engine).get_columns(table)
    return {column["name"]: {**column, "type": str(column["type"])} for column in columns}


def indexes_of(url: str, table: str) -> set[str | None]:
    """Return the names of a table's indexes."""
    with engine_of(url) as engine:
        return {index["name"] for index in sa.inspect(engine).get_indexes(table)}


def describe(url: str) -> dict[str, Any]:
    """Describe a database completely: tables, columns, types, defaults, keys, indexes and rows."""
    with engine_of(url) as engine, engine.connect() as connection:
        inspector = sa.inspect(connection)
        return {table: _describe_table(connection, inspector, table) for table in inspector.get_table_names()}


def _describe_table(connection: sa.Connection, inspector: sa.Inspector, table: str) -> dict[str, Any]:
    return {
        "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
        "primary key": inspector.get_pk_constraint(table),
        "foreign keys": inspector.get_foreign_keys(table),
        "unique": inspector.get_unique_constraints(table),
        "indexes": sorted((_comparable(index) for index in inspector.get_indexes(table)), key=str),
        "rows": connection.execute(sa.text(f'SELECT * FROM "{table}" ORDER BY 1')).mappings().all(),
    }


def _comparable(index: Any) -> dict[str, Any]:
    """Return an index whose options, such as the condition of a partial one, can be compared."""
    return {**index, "dialect_options": {k: str(v) for k, v in index.get("dialect_options", {}).items()}}


def additions_of(url: str) -> set[tuple[str, str, str]]:
    """Return the recorded additions of the migrations: table, type and name."""
    with engine_of(url) as engine, engine.connect() as connection:
        query = sa.text("SELECT table_name, object_type, object_name FROM telemetry_added_objects")
        return {(row[0], row[1], row[2]) for row in connection.execute(query)}
