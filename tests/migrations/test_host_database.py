"""Migrations leave a host's database unchanged, whatever data and names it has."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from exporters.sql.schema import migrate, tables
from telemetry.cli.group import cli
from tests.migrations.databases import (
    additions_of,
    columns_of,
    create_host,
    describe,
    engine_of,
    host_models,
    indexes_of,
    tables_of,
)

TAKEN = {
    "users": {"total_jobs_run"},
    "analyses": {"jd_character_count", "total_api_cost", "status"},
    "candidate_files": {"chunk_count"},
}


@pytest.fixture
def host_url(database_url: str) -> str:
    """A host's database before telemetry is added."""
    create_host(database_url)
    return database_url


def restricted_to(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of the description `after` that `before` has, too."""
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


def test_existing_columns_and_indexes_are_unchanged(host_url: str) -> None:
    """Those with telemetry's names, but other types, keep their types and values."""
    before = describe(host_url)

    migrate.upgrade(host_url)

    assert restricted_to(describe(host_url), before) == before


def test_only_missing_columns_and_indexes_are_added(host_url: str) -> None:
    """The recorded additions are exactly those that were missing."""
    migrate.upgrade(host_url)

    added = additions_of(host_url)
    for table, columns in tables.HOST_COLUMNS.items():
        expected = {column.name for column in columns} - TAKEN[table]
        assert {name for owner, kind, name in added if (owner, kind) == (table, "column")} == expected
        assert expected <= set(columns_of(host_url, table))
    assert ("analyses", "index", "idx_analyses_status") not in added
    assert ("analyses", "index", "idx_analyses_completed_at") in added
    assert not {name for _, kind, name in added if kind == "table"} & {"users", "analyses", "candidate_files"}


def test_downgrade_restores_the_database(host_url: str) -> None:
    """After up and down no column, index, type, default or value of the host differs."""
    before = describe(host_url)

    migrate.upgrade(host_url)
    migrate.downgrade(host_url)

    assert describe(host_url) == before


def test_existing_rows_have_no_invented_values(host_url: str) -> None:
    """Older analyses have NULL in every added column, rather than a success."""
    migrate.upgrade(host_url)

    seen = describe(host_url)
    for table, kind, name in additions_of(host_url):
        if kind == "column" and seen[table]["rows"]:
            assert {row[name] for row in seen[table]["rows"]} == {None}


def test_existing_table_of_telemetrys_name_is_completed(host_url: str) -> None:
    """A host's own document_warnings stays; missing columns are added, and dropped by a downgrade."""
    with engine_of(host_url) as engine, engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE document_warnings (id INTEGER PRIMARY KEY, warning_type VARCHAR(10) NOT NULL,"
                " document_count INTEGER DEFAULT 0)"
            )
        )
        connection.execute(sa.text("INSERT INTO document_warnings VALUES (1, 'too_long', 3)"))
    before = describe(host_url)

    migrate.upgrade(host_url)

    described = {column.name for column in tables.document_warnings.columns}
    assert set(columns_of(host_url, "document_warnings")) == described
    assert "idx_warnings_type" in indexes_of(host_url, "document_warnings")
    assert restricted_to(describe(host_url), before) == before
    migrate.downgrade(host_url)
    assert describe(host_url) == before


def test_base_tables_are_only_added_where_missing(host_url: str) -> None:
    """A database with two of the three gets the third, and only that is dropped again."""
    with engine_of(host_url) as engine:
        host_models().tables["candidate_files"].drop(engine)
    before = describe(host_url)

    migrate.upgrade(host_url, with_base_tables=True)
    assert "candidate_files" in tables_of(host_url)

    migrate.downgrade(host_url)
    assert describe(host_url) == before


def test_index_without_its_column_is_left_out(host_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A host without completed_at is migrated; a log line names the index that is left out."""
    with engine_of(host_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE analyses DROP COLUMN completed_at"))

    migrate.upgrade(host_url)

    assert "idx_analyses_completed_at" not in indexes_of(host_url, "analyses")
    assert "idx_analyses_processing_duration" in indexes_of(host_url, "analyses")
    assert "analyses has no column completed_at" in caplog.text


# Unsuitable tables are refusal_of before anything is changed

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, created_at TIMESTAMP)"
ANALYSES = "CREATE TABLE analyses (id INTEGER PRIMARY KEY, user_id INTEGER, created_at TIMESTAMP)"
FILES = "CREATE TABLE candidate_files (id INTEGER PRIMARY KEY, analysis_id INTEGER)"
UUIDS = [USERS, "CREATE TABLE analyses (id CHAR(36) PRIMARY KEY, user_id INTEGER)", FILES]


def execute(url: str, *statements: str) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def upgrade(url: str, *options: str) -> Result:
    return CliRunner().invoke(cli, ["db", "upgrade", "--database-url", url, *options])


def refusal_of(url: str, *options: str) -> list[str]:
    """Return the lines of a refusal, which must leave the database unchanged."""
    before = describe(url)
    done = upgrade(url, *options)
    assert done.exit_code == 1, done.output
    assert describe(url) == before
    return done.output.removeprefix("Error: ").splitlines()


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (UUIDS, ["analyses.id is "]),
        (["CREATE TABLE users (id TEXT PRIMARY KEY)", ANALYSES, FILES], ["users.id is "]),
        (["CREATE TABLE users (id NUMERIC(10, 0) PRIMARY KEY)", ANALYSES], ["users.id is "]),
        (
            [
                "CREATE TABLE users (id VARCHAR(32) PRIMARY KEY)",
                "CREATE TABLE analyses (id VARCHAR(32) PRIMARY KEY, user_id VARCHAR(32) REFERENCES users)",
                "CREATE TABLE candidate_files (id VARCHAR(32) PRIMARY KEY, analysis_id VARCHAR(32))",
            ],
            ["users.id is ", "analyses.id is ", "analyses.user_id is ", "candidate_files.id is "]
            + ["candidate_files.analysis_id is "],
        ),
        ([USERS, "CREATE TABLE analyses (id INTEGER PRIMARY KEY)"], ["analyses.user_id is not there"]),
        (
            [USERS, "CREATE TABLE analyses (analysis_id INTEGER PRIMARY KEY, user_id INTEGER)"],
            ["analyses.id is not there"],
        ),
        (
            [USERS, ANALYSES, "CREATE TABLE candidate_files (id INTEGER PRIMARY KEY)"],
            ["candidate_files.analysis_id is not"],
        ),
        (
            [
                USERS,
                "CREATE TABLE analyses (org INTEGER, id INTEGER, user_id INTEGER, PRIMARY KEY (org, id))",
            ],
            ["analyses.id is not unique by itself"],
        ),
        (
            [USERS, "CREATE TABLE analyses (id INTEGER, user_id INTEGER)"],
            ["analyses.id is not unique by itself"],
        ),
        (
            [USERS, ANALYSES.replace("analyses", "jobs"), "CREATE VIEW analyses AS SELECT * FROM jobs"],
            ["analyses is a view"],
        ),
        ([USERS], ["the database lacks analyses"]),
        ([ANALYSES], ["the database lacks users"]),
        (
            [USERS.replace("users", "accounts"), ANALYSES.replace("analyses", "jobs")],
            ["the database lacks users, analyses"],
        ),
    ],
)
def test_unsuitable_tables_are_refused(database_url: str, statements: list[str], expected: list[str]) -> None:
    """Each problem has a line with table, column, type and what to do; --sql refuses as well."""
    execute(database_url, *statements)

    for lines in (refusal_of(database_url), refusal_of(database_url, "--sql")):
        assert len(lines) == len(expected), lines
        for line, begin in zip(lines, expected, strict=True):
            assert line.startswith(begin)
            assert ": " in line


def test_uuid_key_of_postgresql_is_refused(postgres_url: str) -> None:
    """The type is named as in the database."""
    execute(postgres_url, USERS, "CREATE TABLE analyses (id uuid PRIMARY KEY, user_id INTEGER)")

    (line,) = refusal_of(postgres_url)

    assert line.startswith("analyses.id is uuid: it has to be a whole number (INTEGER or BIGINT")


def test_text_key_is_refused_with_base_tables_too(database_url: str) -> None:
    """--with-base-tables does not replace an unsuitable table."""
    execute(database_url, "CREATE TABLE users (id TEXT PRIMARY KEY)")

    (line,) = refusal_of(database_url, "--with-base-tables")

    assert line.startswith("users.id is ")


@pytest.mark.parametrize(
    ("statements", "hint"),
    [
        (
            ["CREATE SCHEMA app", USERS.replace("users", "app.users")],
            "there is app.users: put app on the search_path",
        ),
        ([USERS.replace("users", '"Users"')], 'there is public."Users", which needs its name in lower case'),
    ],
)
def test_tables_outside_the_search_path_are_located(
    postgres_url: str, statements: list[str], hint: str
) -> None:
    """The message says where they are."""
    execute(postgres_url, ANALYSES, *statements)

    (line,) = refusal_of(postgres_url)

    assert line.startswith("the database lacks users in its search_path (public): ")
    assert hint in line


@pytest.mark.parametrize(
    "key", ["SMALLINT", "BIGINT", "SERIAL", "BIGSERIAL", "INTEGER GENERATED ALWAYS AS IDENTITY"]
)
def test_any_integer_key_of_postgresql_is_accepted(postgres_url: str, key: str) -> None:
    """Including serial and identity columns."""
    execute(
        postgres_url,
        f"CREATE TABLE users (id {key} PRIMARY KEY)",
        f"CREATE TABLE analyses (id {key} PRIMARY KEY, user_id BIGINT REFERENCES users (id))",
        f"CREATE TABLE candidate_files (id {key} PRIMARY KEY, analysis_id BIGINT)",
    )

    assert upgrade(postgres_url).exit_code == 0


@pytest.mark.parametrize("key", ["INTEGER", "BIGINT", "INT", "UNSIGNED BIG INT", "smallint"])
def test_any_integer_key_of_sqlite_is_accepted(sqlite_url: str, key: str) -> None:
    """Including every type with integer affinity, and names in other case."""
    execute(
        sqlite_url,
        f"CREATE TABLE Users (ID {key} PRIMARY KEY, Status TEXT, Total_Jobs_Run TEXT)",
        f"CREATE TABLE ANALYSES (Id {key} PRIMARY KEY, User_Id {key}, STATUS TEXT)",
    )

    assert upgrade(sqlite_url).exit_code == 0
    assert ("users", "column", "total_jobs_run") not in additions_of(sqlite_url)


def test_domains_and_unique_ids_are_accepted(postgres_url: str) -> None:
    """A domain over integers is a key, and so is a unique id beside another primary key."""
    execute(
        postgres_url,
        "CREATE DOMAIN number AS INTEGER CHECK (VALUE > 0)",
        "CREATE TABLE users (uid uuid PRIMARY KEY, id number NOT NULL UNIQUE)",
        "CREATE TABLE analyses (id INTEGER PRIMARY KEY, user_id number) PARTITION BY RANGE (id)",
    )

    assert upgrade(postgres_url).exit_code == 0
    assert "total_jobs_run" in columns_of(postgres_url, "users")


def test_tables_anywhere_on_the_search_path_are_found(postgres_url: str) -> None:
    """Telemetry uses the search_path of its role."""
    name = postgres_url.rpartition("/")[2]
    execute(
        postgres_url,
        "CREATE SCHEMA app",
        *(statement.replace("TABLE ", "TABLE app.") for statement in (USERS, ANALYSES, FILES)),
        f'ALTER DATABASE "{name}" SET search_path = app, public',
    )

    assert upgrade(postgres_url).exit_code == 0


# Missing optional columns are reported once


def test_only_keys_are_required(database_url: str) -> None:
    """Other missing columns are reported by the upgrade that changes something, and by no other."""
    execute(database_url, "CREATE TABLE users (id INTEGER PRIMARY KEY)")
    execute(database_url, "CREATE TABLE analyses (id INTEGER PRIMARY KEY, user_id INTEGER)", FILES)

    first, second = upgrade(database_url), upgrade(database_url)

    assert (first.exit_code, second.exit_code) == (0, 0)
    for column in (
        "users.created_at",
        "analyses.created_at",
        "analyses.completed_at",
        "analyses.num_criteria",
    ):
        (line,) = [line for line in first.output.splitlines() if column in line]
        assert line.startswith(f"Telemetry does without {column}, which is not there (")
    for column in (
        "candidate_files.file_name",
        "candidate_files.file_bytes",
        "candidate_files.extracted_text",
    ):
        assert f"{column}, which is not there" in first.output
    assert second.output == f"The database is at {migrate.head()}.\n"


def test_column_of_another_type_is_reported(database_url: str) -> None:
    """The line has its type, and what it should be."""
    execute(
        database_url,
        USERS,
        "CREATE TABLE analyses (id INTEGER PRIMARY KEY, user_id INTEGER, created_at INTEGER)",
    )

    output = upgrade(database_url).output

    assert "analyses.created_at, which is int" in output.lower()
    assert "and no time" in output


def test_candidate_files_is_optional(database_url: str) -> None:
    """If it is created later, the next upgrade adds its columns."""
    execute(database_url, USERS, ANALYSES)
    output = upgrade(database_url).output
    assert "Telemetry does without candidate_files, a table that is not there (" in output

    execute(database_url, FILES)
    assert "ALTER TABLE candidate_files ADD COLUMN" in upgrade(database_url, "--sql").output
    assert upgrade(database_url).exit_code == 0

    assert {column.name for column in tables.CANDIDATE_FILES_COLUMNS} <= set(
        columns_of(database_url, "candidate_files")
    )
    assert upgrade(database_url, "--sql").output == "-- There is nothing to do.\n"


def test_dropped_columns_are_added_again(database_url: str) -> None:
    """As after a migration of the host whose autogenerate dropped them."""
    execute(database_url, USERS, ANALYSES, FILES)
    upgrade(database_url)
    before = describe(database_url)
    execute(database_url, "ALTER TABLE analyses DROP COLUMN total_api_cost")

    assert upgrade(database_url).exit_code == 0

    assert set(columns_of(database_url, "analyses")) == {
        column["name"] for column in before["analyses"]["columns"]
    }
    assert ("analyses", "column", "total_api_cost") in additions_of(database_url)
