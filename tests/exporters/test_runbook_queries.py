"""SQL of the runbooks runs in the role for dashboards, which reads only views; their commands run, too."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from telemetry.cli.group import cli
from tests.exporters.makers import Host
from tests.runbooks import commands, statements

ROLE = "runbook_reader"


@pytest.fixture
def reader(postgres_host: Host) -> Iterator[Host]:
    """The host's database, in the role for dashboards."""
    done = CliRunner().invoke(
        cli, ["db", "role", "--name", ROLE], env={"TELEMETRY_DATABASE_URL": postgres_host.url}
    )
    assert done.exit_code == 0, done.output
    with postgres_host.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        driver.cursor().execute(done.output)
    yield Host(sa.make_url(postgres_host.url).set(username=ROLE).render_as_string(hide_password=False))
    postgres_host.execute(f"DROP OWNED BY {ROLE}")
    postgres_host.execute(f"DROP ROLE {ROLE}")


def test_each_statement_runs(reader: Host) -> None:
    """None of them needs a table, or changes anything."""
    with reader.engine.connect() as connection:
        for page, statement in statements():
            try:
                connection.execute(sa.text(statement)).all()
            except sa.exc.DBAPIError as error:
                pytest.fail(f"{page}: {error}", pytrace=False)


def test_each_command_runs(sqlite_host: Host, tmp_path: Path) -> None:
    """Where nothing is wrong, each of them succeeds; those of the doctor have tests of their own."""
    lines = sorted({line for _, line in commands() if "flask telemetry" in line and " doctor" not in line})
    database = {"TELEMETRY_DATABASE_URL": sqlite_host.url, "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool")}
    written = CliRunner().invoke(cli, ["assets", str(tmp_path / "assets")])
    assert lines and written.exit_code == 0

    for line in sorted(lines, key=lambda line: "--check" not in line):  # before others write other files
        text = line.replace("/etc/analysis-telemetry", str(tmp_path / "assets"))
        changed = dict(re.findall(r"\b(TELEMETRY_\w+)=(\S+)", text))
        words = shlex.split(text.partition("flask telemetry ")[2])
        done = CliRunner(env=database | changed).invoke(cli, words)
        assert done.exit_code == 0, (line, done.output)
