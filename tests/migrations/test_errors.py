"""Errors of migrations are one line, with what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from exporters.sql.schema import migrate
from telemetry.cli.group import cli
from tests import fresh
from tests.migrations.databases import create_host, describe, engine_of, host_models
from tests.pgbouncer import PgBouncer
from tests.postgres import TemporaryPostgres


def message_of(error: pytest.ExceptionInfo[migrate.MigrationError]) -> str:
    """Return the message of an error, which must be one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def invoke(url: str, *words: str, **variables: str) -> Result:
    """Call a command, which must print one line and no traceback."""
    done = CliRunner().invoke(cli, list(words), env={"TELEMETRY_DATABASE_URL": url, **variables})
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert len((done.stderr or done.stdout).splitlines()) == 1, done.output
    return done


@pytest.mark.parametrize(
    "words",
    [
        ("report",),
        ("report", "--analysis", "1"),
        ("validate",),
        ("insights",),
        ("export",),
        ("health-check",),
        ("import-history",),
        ("erase", "--user", "1"),
        ("reprice", "--since", "2026-10-01"),
    ],
)
def test_database_that_is_not_migrated_is_reported(database_url: str, words: tuple[str, ...]) -> None:
    """Each command says to run `db upgrade`."""
    create_host(database_url)
    done = invoke(database_url, *words)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the database cannot be used: ")
    assert done.stderr.endswith("; run flask telemetry db upgrade\n")


def test_damaged_database_is_not_reported_as_not_migrated(database_url: str) -> None:
    """An upgrade would not help, and is not mentioned."""
    create_host(database_url)
    migrate.upgrade(database_url)
    with engine_of(database_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW telemetry_jobs")
    assert "db upgrade" not in invoke(database_url, "report").output


@pytest.mark.parametrize("words", [("current",), ("upgrade",), ("upgrade", "--sql"), ("downgrade", "--yes")])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "cannot connect to postgresql://nobody@127.0.0.1:1/none"),
        ("sqlite:////nowhere/app.sqlite", "cannot connect to sqlite:////nowhere/app.sqlite: unable to open"),
        ("oracle+nothing://host/app", "the database URL names oracle: rollups need PostgreSQL or SQLite"),
        ("nonsense", "the database URL is no SQLAlchemy URL"),
        ("sqlite:///{folder}/notes.txt", "file is not a database"),
    ],
)
def test_unusable_database_is_reported_by_every_command(
    tmp_path: Path, url: str, reason: str, words: tuple[str, ...]
) -> None:
    """The line gives the reason."""
    (tmp_path / "notes.txt").write_text("these are only notes")
    done = invoke(url.format(folder=tmp_path), "db", *words)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert reason in done.stderr


def test_role_without_read_permission_is_reported(postgres: TemporaryPostgres, postgres_url: str) -> None:
    """The message is PostgreSQL's."""
    create_host(postgres_url)
    migrate.upgrade(postgres_url)
    postgres.execute("CREATE ROLE onlooker LOGIN")
    try:
        url = sa.make_url(postgres_url).set(username="onlooker").render_as_string(hide_password=False)
        done = invoke(url, "db", "current")
        assert done.exit_code == 1
        assert "permission denied for table telemetry_alembic_version" in done.stderr
    finally:
        postgres.execute("DROP ROLE onlooker")


def test_missing_base_tables_are_reported(database_url: str) -> None:
    """An empty database is refused, with both solutions, and stays empty."""
    with pytest.raises(migrate.MigrationError) as error:
        migrate.upgrade(database_url)

    message = message_of(error)
    assert "lacks users, analyses, candidate_files" in message
    assert "host application's own migrations" in message
    assert "--with-base-tables" in message
    assert describe(database_url) == {}


def test_only_missing_base_tables_are_named(database_url: str) -> None:
    """Tables that exist, or that are optional, are not named."""
    create_host(database_url)
    with engine_of(database_url) as engine:
        for name in ("candidate_files", "analyses"):
            host_models().tables[name].drop(engine)

    with pytest.raises(migrate.MigrationError, match=r"lacks analyses( in .*)?: run"):
        migrate.upgrade(database_url)


def test_unknown_revision_is_reported(sqlite_url: str) -> None:
    """The message names it, and the newest known revision."""
    with pytest.raises(migrate.MigrationError) as error:
        migrate.upgrade(sqlite_url, with_base_tables=True, revision="9999")

    assert "9999" in message_of(error)
    assert migrate.head() in message_of(error)


@pytest.mark.parametrize("words", [("upgrade",), ("upgrade", "--sql"), ("downgrade", "--yes")])
@pytest.mark.parametrize("revision", ["0003", "0016"])
def test_revision_before_the_first_release_is_refused(
    database_url: str, revision: str, words: tuple[str, ...]
) -> None:
    """The message names it and says what to do; nothing is changed."""
    create_host(database_url)
    migrate.upgrade(database_url)
    with engine_of(database_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '{revision}'")
    before = describe(database_url)

    done = invoke(database_url, "db", *words)

    assert done.exit_code == 1
    assert f"at revision {revision} of a version from before the first release" in done.stderr
    assert "with the version that migrated it run flask telemetry db downgrade" in done.stderr
    assert describe(database_url) == before
    with pytest.raises(migrate.MigrationError, match="before the first release"):
        migrate.downgrade(database_url, with_base_tables=True)


def test_unreachable_database_is_named(tmp_path: Path) -> None:
    """The message has its URL."""
    with pytest.raises(migrate.MigrationError, match="cannot connect to sqlite:.*unable to open") as error:
        migrate.upgrade(f"sqlite:///{tmp_path / 'nowhere' / 'app.sqlite'}")

    message_of(error)


def test_password_is_not_shown(postgres: TemporaryPostgres) -> None:
    """The URL in a message hides the password."""
    url = sa.make_url(postgres.url()).set(password="hunter2", database="no_such_database")

    with pytest.raises(migrate.MigrationError, match="cannot connect") as error:
        migrate.current(url)

    assert "hunter2" not in message_of(error)
    assert "no_such_database" in message_of(error)


@pytest.mark.parametrize("url", ["", "app.sqlite"])
def test_malformed_url_is_reported(url: str) -> None:
    """The message has an example of a URL."""
    with pytest.raises(migrate.MigrationError, match="sqlite:///"):
        migrate.upgrade(url)


def test_unknown_driver_is_reported() -> None:
    """The message names it, and those that work."""
    with pytest.raises(migrate.MigrationError, match=r"no driver for postgresql\+nosuch:// .* psycopg2"):
        migrate.upgrade("postgresql+nosuch://localhost/app")


def test_role_that_does_not_own_the_tables_is_reported(
    postgres: TemporaryPostgres, postgres_url: str
) -> None:
    """The message has the statement that was refused, and the reason."""
    create_host(postgres_url)
    with engine_of(postgres_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS guest")
        connection.exec_driver_sql("CREATE ROLE guest LOGIN")
        connection.exec_driver_sql("GRANT ALL ON SCHEMA public TO guest")
        connection.exec_driver_sql("GRANT REFERENCES ON analyses, users TO guest")
    try:
        with pytest.raises(migrate.MigrationError) as error:
            migrate.upgrade(sa.make_url(postgres_url).set(username="guest"))
        assert "ALTER TABLE analyses" in message_of(error)
        assert "must be owner of table analyses" in message_of(error)
        assert migrate.current(postgres_url) == "2_telemetry_tables"
    finally:
        with engine_of(postgres_url) as engine, engine.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY guest")
            connection.exec_driver_sql("DROP ROLE guest")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_pooler_in_transaction_mode_is_refused(postgres_url: str, pgbouncer: PgBouncer, driver: str) -> None:
    """It would pass the lock timeouts of a migration to transactions of the host."""
    create_host(postgres_url)
    url = pgbouncer.through(postgres_url).replace("psycopg2", driver)
    before = describe(postgres_url)
    with pytest.raises(migrate.MigrationError) as error:
        migrate.upgrade(url)

    assert "pooler in transaction mode" in message_of(error)
    assert "--database-url and PostgreSQL's own address" in message_of(error)
    assert describe(postgres_url) == before
    with engine_of(url) as engine, engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no database: set TELEMETRY_DATABASE_URL or give --database-url"),
        (
            ("--app", "broken"),
            "no database: the application cannot be loaded (ModuleNotFoundError: No module named 'a_driver'):"
            " repair it, or give --database-url",
        ),
        (
            ("--app", "nowhere"),
            "no database: the application cannot be loaded (Could not import 'nowhere'.):"
            " repair it, or give --database-url",
        ),
    ],
)
@pytest.mark.parametrize("words", [("report",), ("db", "current")])
def test_missing_database_setting_is_reported(
    options: tuple[str, ...], message: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Where the application cannot be loaded, that is given as the reason."""
    (tmp_path / "broken.py").write_text("import a_driver\n")
    environment = {name: value for name, value in os.environ.items() if name != "TELEMETRY_DATABASE_URL"}
    done = fresh.run("-m", "flask", *options, "telemetry", *words, cwd=tmp_path, env=environment)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: {message}"
