"""A host's database, with data and with some of the names taken, is left as it was."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from exporters.sql.schema import migrate, tables
from telemetry.cli.group import cli
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
    for table, columns in tables.HOST_COLUMNS.items():
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

    described = {column.name for column in tables.document_warnings.columns}
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


# What cannot work is refused, before anything is changed

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


def refused(url: str, *options: str) -> list[str]:
    """The lines of the refusal; the database must be as it was."""
    before = picture(url)
    done = upgrade(url, *options)
    assert done.exit_code == 1, done.output
    assert picture(url) == before
    return done.output.removeprefix("Error: ").splitlines()


@pytest.mark.parametrize(
    ("statements", "said"),
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
def test_what_cannot_work_is_refused(database_url: str, statements: list[str], said: list[str]) -> None:
    """A line for each problem names table, column and type, and the way out; --sql refuses as well."""
    execute(database_url, *statements)

    for lines in (refused(database_url), refused(database_url, "--sql")):
        assert len(lines) == len(said), lines
        for line, begin in zip(lines, said, strict=True):
            assert line.startswith(begin)
            assert ": " in line


def test_a_uuid_of_postgresql(postgres_url: str) -> None:
    """Its type is named as the database has it."""
    execute(postgres_url, USERS, "CREATE TABLE analyses (id uuid PRIMARY KEY, user_id INTEGER)")

    (line,) = refused(postgres_url)

    assert line.startswith("analyses.id is uuid: it has to be a whole number (INTEGER or BIGINT")


def test_base_tables_do_not_help_against_text(database_url: str) -> None:
    """What is there and does not fit is refused with --with-base-tables, too."""
    execute(database_url, "CREATE TABLE users (id TEXT PRIMARY KEY)")

    (line,) = refused(database_url, "--with-base-tables")

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
def test_tables_that_a_plain_name_does_not_find(postgres_url: str, statements: list[str], hint: str) -> None:
    """Where they are is said."""
    execute(postgres_url, ANALYSES, *statements)

    (line,) = refused(postgres_url)

    assert line.startswith("the database lacks users in its search_path (public): ")
    assert hint in line


@pytest.mark.parametrize(
    "key", ["SMALLINT", "BIGINT", "SERIAL", "BIGSERIAL", "INTEGER GENERATED ALWAYS AS IDENTITY"]
)
def test_keys_of_postgresql(postgres_url: str, key: str) -> None:
    """Every whole number is one."""
    execute(
        postgres_url,
        f"CREATE TABLE users (id {key} PRIMARY KEY)",
        f"CREATE TABLE analyses (id {key} PRIMARY KEY, user_id BIGINT REFERENCES users (id))",
        f"CREATE TABLE candidate_files (id {key} PRIMARY KEY, analysis_id BIGINT)",
    )

    assert upgrade(postgres_url).exit_code == 0


@pytest.mark.parametrize("key", ["INTEGER", "BIGINT", "INT", "UNSIGNED BIG INT", "smallint"])
def test_keys_of_sqlite(sqlite_url: str, key: str) -> None:
    """Every type with the affinity of integers is one."""
    execute(
        sqlite_url,
        f"CREATE TABLE Users (ID {key} PRIMARY KEY, Status TEXT, Total_Jobs_Run TEXT)",
        f"CREATE TABLE ANALYSES (Id {key} PRIMARY KEY, User_Id {key}, STATUS TEXT)",
    )

    assert upgrade(sqlite_url).exit_code == 0
    assert ("users", "column", "total_jobs_run") not in added_by_us(sqlite_url)


def test_a_domain_and_a_key_beside_another(postgres_url: str) -> None:
    """A domain over integers, and an id that is unique though the primary key is another column."""
    execute(
        postgres_url,
        "CREATE DOMAIN number AS INTEGER CHECK (VALUE > 0)",
        "CREATE TABLE users (uid uuid PRIMARY KEY, id number NOT NULL UNIQUE)",
        "CREATE TABLE analyses (id INTEGER PRIMARY KEY, user_id number) PARTITION BY RANGE (id)",
    )

    assert upgrade(postgres_url).exit_code == 0
    assert "total_jobs_run" in columns_of(postgres_url, "users")


def test_tables_elsewhere_on_the_search_path(postgres_url: str) -> None:
    """Where the role looks, telemetry looks."""
    name = postgres_url.rpartition("/")[2]
    execute(
        postgres_url,
        "CREATE SCHEMA app",
        *(statement.replace("TABLE ", "TABLE app.") for statement in (USERS, ANALYSES, FILES)),
        f'ALTER DATABASE "{name}" SET search_path = app, public',
    )

    assert upgrade(postgres_url).exit_code == 0


# What tells less is said once


def test_keys_are_enough(database_url: str) -> None:
    """The rest is said at the upgrade that changes something, and at no other."""
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


def test_a_column_of_another_type(database_url: str) -> None:
    """Its type, and what it should be."""
    execute(
        database_url,
        USERS,
        "CREATE TABLE analyses (id INTEGER PRIMARY KEY, user_id INTEGER, created_at INTEGER)",
    )

    output = upgrade(database_url).output

    assert "analyses.created_at, which is int" in output.lower()
    assert "and no time" in output


def test_without_files(database_url: str) -> None:
    """The table is not needed; if it comes later, the next upgrade adds to it."""
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


def test_columns_that_were_dropped_come_back(database_url: str) -> None:
    """A migration that the application autogenerated took them for leftovers."""
    execute(database_url, USERS, ANALYSES, FILES)
    upgrade(database_url)
    before = picture(database_url)
    execute(database_url, "ALTER TABLE analyses DROP COLUMN total_api_cost")

    assert upgrade(database_url).exit_code == 0

    assert set(columns_of(database_url, "analyses")) == {
        column["name"] for column in before["analyses"]["columns"]
    }
    assert ("analyses", "column", "total_api_cost") in added_by_us(database_url)
