"""A downgrade lists what it drops, and refuses to drop the application's own data."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from exporters.sql.schema import migrate
from telemetry.cli.group import cli
from tests.migrations.databases import create_host, engine_of

BASE = ("users", "analyses", "candidate_files")


def run(statement: str, url: str) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(statement)


def add_user(url: str, number: int) -> None:
    run(
        "INSERT INTO users (id, email, password_hash, name, created_at)"
        f" VALUES ({number}, '{number}@example.com', 'x', 'Ada', '2026-01-02 03:04:05')",
        url,
    )


def tables(url: str) -> set[str]:
    with engine_of(url) as engine:
        return set(sa.inspect(engine).get_table_names())


def downgrade(url: str, *words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["db", "downgrade", "--database-url", url, *words], input=answer)


def lines(result: Result) -> list[str]:
    return [line.strip() for line in result.stdout.splitlines() if line.startswith("  ")]


@pytest.fixture
def own_url(database_url: str) -> str:
    """A database whose base tables were created by the upgrade."""
    migrate.upgrade(database_url, with_base_tables=True)
    return database_url


def test_base_tables_with_rows_are_not_dropped(own_url: str) -> None:
    """Nothing at all is dropped; the line names each table, its rows, and both solutions."""
    add_user(own_url, 1)
    before = tables(own_url)

    for words in (["--yes"], [], ["--sql"]):
        result = downgrade(own_url, *words, answer="y\n")

        assert result.exit_code == 1
        assert "table users: 1 row, the data of the application itself" in result.stderr
        assert "--with-base-tables" in result.stderr
        assert "--revision 1_base_tables" in result.stderr
    with pytest.raises(migrate.MigrationError, match="table users: 1 row"):
        migrate.downgrade(own_url)
    assert tables(own_url) == before
    assert migrate.current(own_url) == migrate.head()


def test_every_table_is_listed_before_the_question(own_url: str) -> None:
    """The list has its number of rows; the answer no keeps everything."""
    add_user(own_url, 1)
    add_user(own_url, 2)
    before = tables(own_url)

    result = downgrade(own_url, "--with-base-tables", answer="n\n")

    named = dict(line.removeprefix("table ").split(": ") for line in lines(result))
    assert named["users"] == "2 rows, the data of the application itself"
    assert named["analyses"] == "0 rows, the data of the application itself"
    assert set(named) == before - {"telemetry_alembic_version"}
    assert result.exit_code == 1
    assert tables(own_url) == before


def test_with_base_tables_drops_them(own_url: str) -> None:
    """With --yes there is no question, but the list is still printed."""
    add_user(own_url, 1)

    result = downgrade(own_url, "--with-base-tables", "--yes")

    assert result.exit_code == 0, result.output
    assert "table users: 1 row, the data of the application itself" in lines(result)
    assert tables(own_url) == set()


def test_empty_base_tables_are_dropped(own_url: str) -> None:
    """They hold no data of the application."""
    assert downgrade(own_url, "--yes").exit_code == 0
    assert tables(own_url) == set()


def test_downgrade_may_keep_the_base_tables(own_url: str) -> None:
    """Revision 1_base_tables keeps them and their rows."""
    add_user(own_url, 1)

    result = downgrade(own_url, "--revision", "1_base_tables", "--yes")

    assert result.exit_code == 0, result.output
    assert tables(own_url) == {*BASE, "telemetry_added_objects", "telemetry_alembic_version"}
    assert result.stdout.splitlines()[-1] == "The database is at 1_base_tables."


@pytest.fixture
def host_url(database_url: str) -> str:
    """A database whose base tables were created by the application."""
    create_host(database_url)
    migrate.upgrade(database_url)
    return database_url


def test_added_columns_with_values_are_listed(host_url: str) -> None:
    """The list has the number of rows with values; the application's tables stay."""
    run("UPDATE analyses SET api_calls_made = 7 WHERE id = 2", host_url)

    result = downgrade(host_url, "--yes")

    assert result.exit_code == 0, result.output
    columns = [line for line in lines(result) if line.startswith("column")]
    assert columns == ["column analyses.api_calls_made: a value in 1 row"]
    assert not [line for line in lines(result) if line.startswith(("table users", "table analyses"))]
    assert set(BASE) <= tables(host_url)


def test_partial_downgrade_lists_its_own_losses(host_url: str) -> None:
    """The list has only what later revisions added."""
    run("UPDATE analyses SET api_calls_made = 7", host_url)

    result = downgrade(host_url, "--revision", "3_host_columns", "--yes")

    assert result.exit_code == 0, result.output
    assert "table telemetry_runs" not in result.stdout
    assert "api_calls_made" not in result.stdout
    assert migrate.current(host_url) == "3_host_columns"

    result = downgrade(host_url, "--revision", "2_telemetry_tables", "--yes")

    assert lines(result) == ["column analyses.api_calls_made: a value in 2 rows"]


def test_unknown_revision_drops_nothing(host_url: str) -> None:
    """One line names it."""
    result = downgrade(host_url, "--revision", "9999", "--yes")

    assert result.exit_code == 1
    assert "9999" in result.stderr
    assert migrate.current(host_url) == migrate.head()


def test_downgrade_of_a_new_database_succeeds(tmp_path: Path) -> None:
    """There is nothing to drop."""
    assert downgrade(f"sqlite:///{tmp_path / 'empty.sqlite'}", "--yes").exit_code == 0
