"""SQL scripts of migrations, to review or to run by other means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from exporters.sql.schema import migrate
from telemetry.cli.group import cli
from tests.migrations.databases import additions_of, create_host, describe, engine_of

Printed = Callable[[str], str]


def run_script(url: str, script: str) -> None:
    """Run a script statement by statement, as `psql` would."""
    with engine_of(url) as engine, engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name == "postgresql":
            driver.autocommit = True
        else:
            driver.isolation_level = None
        for statement in filter(str.strip, script.split(";\n")):
            driver.cursor().execute(statement)


def without_times(seen: dict[str, Any]) -> dict[str, Any]:
    """Return a description without the times of additions."""
    for row in (rows := [dict(row) for row in seen["telemetry_added_objects"]["rows"]]):
        del row["added_at"]
    return seen | {"telemetry_added_objects": {**seen["telemetry_added_objects"], "rows": rows}}


@pytest.fixture
def host_url(database_url: str) -> str:
    create_host(database_url)
    return database_url


def test_script_equals_an_upgrade(host_url: str) -> None:
    """Tables, columns, indexes and recorded additions are the same."""
    script = migrate.upgrade_sql(host_url)
    migrate.upgrade(host_url)
    expected = without_times(describe(host_url))
    migrate.downgrade(host_url)

    run_script(host_url, script)

    assert without_times(describe(host_url)) == expected
    assert migrate.current(host_url) == migrate.head()


def test_script_adds_only_what_is_missing(host_url: str) -> None:
    """It leaves out what the host has already, and generating it changes nothing."""
    before = describe(host_url)

    script = migrate.upgrade_sql(host_url)

    assert describe(host_url) == before
    assert "ALTER TABLE analyses ADD COLUMN api_calls_made INTEGER;" in script
    assert "ADD COLUMN total_api_cost" not in script
    assert "idx_analyses_status" not in script
    assert "CREATE TABLE analyses" not in script
    migrate.upgrade(host_url)
    assert migrate.upgrade_sql(host_url) == ""


def test_indexes_are_built_outside_transactions(postgres_url: str) -> None:
    """The host can write meanwhile, and no statement waits long for a lock."""
    create_host(postgres_url)
    script = migrate.upgrade_sql(postgres_url)

    assert script.startswith("SET lock_timeout = 200;\n")
    before, _, after = script.partition("CREATE INDEX CONCURRENTLY idx_analyses_completed_at")
    assert before.rindex("COMMIT;") > before.rindex("BEGIN;")
    assert after.index("SET lock_timeout = 200;") < after.index("BEGIN;")


def test_downgrade_script_restores_the_database(host_url: str) -> None:
    """Afterwards the host's database is as before."""
    before = describe(host_url)
    migrate.upgrade(host_url)
    assert ("analyses", "column", "api_calls_made") in additions_of(host_url)

    run_script(host_url, migrate.downgrade_sql(host_url))

    assert describe(host_url) == before
    assert migrate.downgrade_sql(host_url) == ""


def test_sql_commands_print_and_change_nothing(host_url: str) -> None:
    """Both print the script without asking."""
    environment = {"TELEMETRY_DATABASE_URL": host_url}
    upgrade = CliRunner().invoke(cli, ["db", "upgrade", "--sql"], env=environment)
    assert (upgrade.exit_code, upgrade.output) == (0, migrate.upgrade_sql(host_url))
    assert migrate.current(host_url) is None
    migrate.upgrade(host_url)
    downgrade = CliRunner().invoke(cli, ["db", "downgrade", "--sql"], env=environment)
    assert (downgrade.exit_code, downgrade.output) == (0, migrate.downgrade_sql(host_url))
    assert migrate.current(host_url) == migrate.head()
    again = CliRunner().invoke(cli, ["db", "upgrade", "--sql"], env=environment)
    assert again.output == "-- There is nothing to do.\n"
