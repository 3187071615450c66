"""The SQL of the runbooks runs in the role for dashboards, which reads only the views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from telemetry.cli.group import cli
from tests.exporters.makers import Host
from tests.runbooks import statements

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
