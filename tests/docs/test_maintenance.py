"""The tasks of the maintenance page: every command runs on a database in use, and prints what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import migrate
from exporters.sql.storage import runs as run_storage
from tests.exporters.makers import KEY, SECOND, Fragment, Host, call, failed_call, visit
from tests.postgres import SUPERUSER, TemporaryPostgres

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "maintenance.md").read_text()
SECTIONS = re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
CHANGES_THE_MACHINE = ("pip ",)
"""Commands that are not run here, because they download packages."""

APPLICATION = """
import os
import flask, sqlalchemy, telemetry

app = flask.Flask("yourapp")
app.config["SECRET_KEY"] = "secret"
telemetry.Telemetry(app, engine=sqlalchemy.create_engine(os.environ["HOST_DATABASE"]))
"""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]


def steps(section: str) -> list[Step]:
    (block,) = re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Step(lines[0], tuple(lines[1:])) for lines in (part.splitlines() for part in parts)]


@pytest.fixture(scope="module")
def database(postgres: TemporaryPostgres) -> Iterator[str]:
    """A database with two recent analyses: one succeeded, and one failed."""
    url = postgres.create_database()
    migrate.upgrade(url, with_base_tables=True)
    host, engine = Host(url), create_engine(url)
    host.add_user()
    lately = datetime.now(UTC) - timedelta(days=2)
    for number, status in ((1, "completed"), (2, "failed")):
        host.add_analysis(number, created_at=lately.replace(tzinfo=None))
        host.add_file(number, "a.pdf")
        opened_at = int(lately.timestamp()) * SECOND
        fragment = Fragment(opened_at=opened_at, analysis_id=number, user_id=1, candidates=1)
        fragment.calls(call(), failed_call()).documents(visit("a.pdf", score=0.9))
        run_storage.deliver(engine, fragment.close(status))
        HostRows(engine, KEY).project_analysis(number)
    HostRows(engine, KEY).project_user(1)
    engine.dispose()
    yield url
    host.engine.dispose()
    postgres.drop_database(url)


@pytest.fixture
def environment(database: str, postgres: TemporaryPostgres, flask: Path, tmp_path: Path) -> dict[str, str]:
    """The variables of an operator in the application's directory, with the programs of these tests."""
    (tmp_path / "yourapp.py").write_text(APPLICATION)
    for name in ("dashboards", "rules"):
        (tmp_path / name).mkdir()
    programs = [flask.parent, Path(sys.executable).parent, postgres.binaries, "/usr/bin", "/bin"]
    return {
        "PATH": os.pathsep.join(map(str, programs)),
        "FLASK_APP": "yourapp",
        "HOST_DATABASE": database,
        "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool"),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": SUPERUSER,
        "PGDATABASE": database.rpartition("/")[2],
    }


@pytest.mark.parametrize(("title", "section"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_task_prints_what_the_page_shows(
    title: str, section: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """Its commands succeed."""
    for step in steps(section):
        if step.command.startswith(CHANGES_THE_MACHINE):
            continue
        command = ["bash", "-o", "pipefail", "-c", step.command]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

        assert done.returncode == 0, f"{step.command}\n{done.stdout}{done.stderr}"
        assert set(step.shown) <= set(done.stdout.splitlines()), f"{step.command}\n{done.stdout}"


@pytest.mark.parametrize(("title", "section"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_task_says_why_and_what_to_do_otherwise(title: str, section: str) -> None:
    """It also says what to expect."""
    assert "**Why.**" in section and "**Otherwise.**" in section
    assert "**Expect**" in section or any(step.shown for step in steps(section))


def test_page_has_weekly_monthly_and_quarterly_tasks() -> None:
    """They are its first three chapters."""
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)

    assert headings[:3] == ["Every week", "Every month", "Every quarter"]


def test_query_lists_tables_that_the_role_may_read(environment: dict[str, str], tmp_path: Path) -> None:
    """The query of the page finds a table in another schema that was granted by hand."""
    (section,) = [section for title, section in SECTIONS if title.startswith("May dashboards read")]
    role, question = steps(section)
    grants = (
        "CREATE SCHEMA extra; CREATE TABLE extra.secret (id INT); GRANT SELECT ON extra.secret TO grafana"
    )
    for command in (role.command, f'psql -q -c "{grants}"'):
        subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, check=True, capture_output=True
        )
    answer = subprocess.run(
        ["bash", "-c", question.command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    undo = ["psql", "-q", "-c", "DROP SCHEMA extra CASCADE"]
    subprocess.run(undo, cwd=tmp_path, env=environment, check=True, capture_output=True)

    assert answer.stdout == "secret\n"
