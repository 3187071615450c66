"""A host's database, with data and with some of the names taken, is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from exporters import migrate, schema
from tests.migrations.databases import (
    added_by_us,
    columns_of,
    create_host,
    engine_of,
    host_models,
    indexes_of,
    picture,
    tables_of,
)

TAKEN = {
    "users": {"total_jobs_run"},
    "analyses": {"jd_character_count", "total_api_cost", "status"},
    "candidate_files": {"chunk_count"},
}


@pytest.fixture
def host_url(database_url: str) -> str:
    """A host's database before telemetry."""
    create_host(database_url)
    return database_url


def what_was_there(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Of the picture `after`, what the picture `before` shows too."""
    kept = {}
    for table, was in before.items():
        names = [column["name"] for column in was["columns"]]
        index_names = [index["name"] for index in was["indexes"]]
        kept[table] = {
            **after[table],
            "columns": [column for column in after[table]["columns"] if column["name"] in names],
            "indexes": [index for index in after[table]["indexes"] if index["name"] in index_names],
            "rows": [{name: row[name] for name in names} for row in after[table]["rows"]],
        }
    return kept


def test_what_was_there_is_untouched(host_url: str) -> None:
    """Columns and an index that have our names, but other types, stay as they are, with their values."""
    before = picture(host_url)

    migrate.upgrade(host_url)

    assert what_was_there(picture(host_url), before) == before


def test_only_what_was_missing_is_added(host_url: str) -> None:
    """What is on the list of additions is exactly what was not there."""
    migrate.upgrade(host_url)

    added = added_by_us(host_url)
    for table, columns in schema.HOST_COLUMNS.items():
        expected = {column.name for column in columns} - TAKEN[table]
        assert {name for owner, kind, name in added if (owner, kind) == (table, "column")} == expected
        assert expected <= set(columns_of(host_url, table))
    assert ("analyses", "index", "idx_analyses_status") not in added
    assert ("analyses", "index", "idx_analyses_completed_at") in added
    assert not {name for _, kind, name in added if kind == "table"} & {"users", "analyses", "candidate_files"}


def test_a_downgrade_leaves_the_host_as_it_was(host_url: str) -> None:
    """Up and down again: not a column, index, type, default or value of the host differs."""
    before = picture(host_url)

    migrate.upgrade(host_url)
    migrate.downgrade(host_url)

    assert picture(host_url) == before


def test_existing_rows_have_no_invented_values(host_url: str) -> None:
    """Analyses from before telemetry have NULL in every added column: nothing claims they were a success."""
    migrate.upgrade(host_url)

    seen = picture(host_url)
    for table, kind, name in added_by_us(host_url):
        if kind == "column" and seen[table]["rows"]:
            assert {row[name] for row in seen[table]["rows"]} == {None}


def test_a_table_of_the_same_name_is_completed(host_url: str) -> None:
    """A host that had its own document_warnings keeps it; the columns it lacked come and go with us."""
    with engine_of(host_url) as engine, engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE document_warnings (id INTEGER PRIMARY KEY, warning_type VARCHAR(10) NOT NULL,"
                " document_count INTEGER DEFAULT 0)"
            )
        )
        connection.execute(sa.text("INSERT INTO document_warnings VALUES (1, 'too_long', 3)"))
    before = picture(host_url)

    migrate.upgrade(host_url)

    described = {column.name for column in schema.document_warnings.columns}
    assert set(columns_of(host_url, "document_warnings")) == described
    assert "idx_warnings_type" in indexes_of(host_url, "document_warnings")
    assert what_was_there(picture(host_url), before) == before
    migrate.downgrade(host_url)
    assert picture(host_url) == before


def test_base_tables_are_only_added_where_missing(host_url: str) -> None:
    """Asked for base tables, a database with two of the three gets the third, and loses only that again."""
    with engine_of(host_url) as engine:
        host_models().tables["candidate_files"].drop(engine)
    before = picture(host_url)

    migrate.upgrade(host_url, with_base_tables=True)
    assert "candidate_files" in tables_of(host_url)

    migrate.downgrade(host_url)
    assert picture(host_url) == before


def test_an_index_without_its_column_is_left_out(host_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A host without completed_at is migrated all the same, and told which index it does not get."""
    with engine_of(host_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE analyses DROP COLUMN completed_at"))

    migrate.upgrade(host_url)

    assert "idx_analyses_completed_at" not in indexes_of(host_url, "analyses")
    assert "idx_analyses_processing_duration" in indexes_of(host_url, "analyses")
    assert "analyses has no column completed_at" in caplog.text
