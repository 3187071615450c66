"""What goes wrong is said in one line that names the way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from exporters.sql.schema import migrate
from telemetry.cli.group import cli
from tests.migrations.databases import create_host, engine_of, host_models, picture
from tests.pgbouncer import PgBouncer
from tests.postgres import TemporaryPostgres


def message_of(error: pytest.ExceptionInfo[migrate.MigrationError]) -> str:
    """The message, which is one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def invoke(url: str, *words: str, **known: str) -> Result:
    """Call a command; what it says is one line, and no traceback."""
    done = CliRunner().invoke(cli, list(words), env={"TELEMETRY_DATABASE_URL": url, **known})
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
def test_a_database_that_is_not_migrated(database_url: str, words: tuple[str, ...]) -> None:
    """Each command names the way out; that of a database that is merely broken it is not."""
    create_host(database_url)
    done = invoke(database_url, *words)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the database cannot be used: ")
    assert done.stderr.endswith("; run flask telemetry db upgrade\n")


def test_a_migrated_database_that_is_broken(database_url: str) -> None:
    """An upgrade would not help: it is not named."""
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
def test_a_command_without_its_database(
    tmp_path: Path, url: str, reason: str, words: tuple[str, ...]
) -> None:
    """Each says in one line what is wrong with it."""
    (tmp_path / "notes.txt").write_text("these are only notes")
    done = invoke(url.format(folder=tmp_path), "db", *words)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert reason in done.stderr


def test_a_role_that_may_not_look(postgres: TemporaryPostgres, postgres_url: str) -> None:
    """It is told so."""
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


def test_missing_base_tables(database_url: str) -> None:
    """An empty database is refused, with both ways out, and stays empty."""
    with pytest.raises(migrate.MigrationError) as error:
        migrate.upgrade(database_url)

    message = message_of(error)
    assert "lacks users, analyses, candidate_files" in message
    assert "host application's own migrations" in message
    assert "--with-base-tables" in message
    assert picture(database_url) == {}


def test_one_missing_base_table(database_url: str) -> None:
    """The tables that are missing are named, and only those."""
    create_host(database_url)
    with engine_of(database_url) as engine:
        for name in ("candidate_files", "analyses"):
            host_models().tables[name].drop(engine)

    with pytest.raises(migrate.MigrationError, match=r"lacks analyses( in .*)?: run"):
        migrate.upgrade(database_url)


def test_unknown_revision(sqlite_url: str) -> None:
    """A revision from a newer version, or misspelt, is named together with the newest one known."""
    with pytest.raises(migrate.MigrationError) as error:
        migrate.upgrade(sqlite_url, with_base_tables=True, revision="9999")

    assert "9999" in message_of(error)
    assert migrate.head() in message_of(error)


@pytest.mark.parametrize("words", [("upgrade",), ("upgrade", "--sql"), ("downgrade", "--yes")])
@pytest.mark.parametrize("revision", ["0003", "0016"])
def test_a_revision_from_before_the_first_release(
    database_url: str, revision: str, words: tuple[str, ...]
) -> None:
    """It is named, with the way out, and nothing is changed."""
    create_host(database_url)
    migrate.upgrade(database_url)
    with engine_of(database_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '{revision}'")
    before = picture(database_url)

    done = invoke(database_url, "db", *words)

    assert done.exit_code == 1
    assert f"at revision {revision} of a version from before the first release" in done.stderr
    assert "with the version that migrated it run flask telemetry db downgrade" in done.stderr
    assert picture(database_url) == before
    with pytest.raises(migrate.MigrationError, match="before the first release"):
        migrate.downgrade(database_url, with_base_tables=True)


def test_unreachable_database(tmp_path: Path) -> None:
    """A database that cannot be opened is named."""
    with pytest.raises(migrate.MigrationError, match="cannot connect to sqlite:.*unable to open") as error:
        migrate.upgrade(f"sqlite:///{tmp_path / 'nowhere' / 'app.sqlite'}")

    message_of(error)


def test_a_password_is_not_shown(postgres: TemporaryPostgres) -> None:
    """The URL in a message hides the password."""
    url = sa.make_url(postgres.url()).set(password="hunter2", database="no_such_database")

    with pytest.raises(migrate.MigrationError, match="cannot connect") as error:
        migrate.current(url)

    assert "hunter2" not in message_of(error)
    assert "no_such_database" in message_of(error)


@pytest.mark.parametrize("url", ["", "app.sqlite"])
def test_not_a_url(url: str) -> None:
    """Something that is no URL is called that, with an example of one."""
    with pytest.raises(migrate.MigrationError, match="sqlite:///"):
        migrate.upgrade(url)


def test_no_driver() -> None:
    """A driver that nobody knows is named, with those that work."""
    with pytest.raises(migrate.MigrationError, match=r"no driver for postgresql\+nosuch:// .* psycopg2"):
        migrate.upgrade("postgresql+nosuch://localhost/app")


def test_a_role_that_may_not(postgres: TemporaryPostgres, postgres_url: str) -> None:
    """A role that does not own the host's tables is told so by the statement that was refused."""
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
def test_a_pooler_in_transaction_mode(postgres_url: str, pgbouncer: PgBouncer, driver: str) -> None:
    """A pooler would hand our lock timeouts to the host's own transactions: it is refused."""
    create_host(postgres_url)
    url = pgbouncer.through(postgres_url).replace("psycopg2", driver)
    before = picture(postgres_url)
    with pytest.raises(migrate.MigrationError) as error:
        migrate.upgrade(url)

    assert "pooler in transaction mode" in message_of(error)
    assert "--database-url and PostgreSQL's own address" in message_of(error)
    assert picture(postgres_url) == before
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
def test_no_database_is_known(
    options: tuple[str, ...], message: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """An application that cannot be loaded is the reason, and not a setting."""
    (tmp_path / "broken.py").write_text("import a_driver\n")
    environment = {name: value for name, value in os.environ.items() if name != "TELEMETRY_DATABASE_URL"}
    command = [sys.executable, "-m", "flask", *options, "telemetry", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: {message}"
