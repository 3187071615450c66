"""The page on testing: its application and its tests, run in a separate pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.choice import first_of

PAGE = (Path(__file__).parents[2] / "docs/how-to/testing.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILES = {name: text for text in BLOCKS for name in re.findall(r"\A# (\w+\.py)\n", text)}
FIXTURES = """
import flask, pytest, sqlalchemy
from click.testing import CliRunner
from telemetry.cli.group import cli

ROWS = [
    "INSERT INTO users (id, email, password_hash, name, created_at)"
    " VALUES (1, 'u@example.com', '-', 'U', CURRENT_TIMESTAMP)",
    "INSERT INTO analyses (id, user_id, num_candidates, num_criteria, cost_usd, created_at)"
    " VALUES (1, 1, 1, 1, 1, CURRENT_TIMESTAMP)",
]

@pytest.fixture
def database(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/host.sqlite")
    upgrade = ["db", "upgrade", "--with-base-tables", "--database-url", str(engine.url)]
    done = CliRunner().invoke(cli, upgrade)
    assert done.exit_code == 0, done.output
    with engine.begin() as connection:
        for row in ROWS:
            connection.exec_driver_sql(row)
    return engine

@pytest.fixture
def app(tmp_path):
    app = flask.Flask("host")
    app.config.update(SECRET_KEY="secret", TELEMETRY_SPOOL_DIR=str(tmp_path / "spool"))
    return app
"""


def run(folder: Path, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        *options,
        str(folder),
    ]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def files() -> dict[str, str]:
    return {name.removesuffix(".py"): text for name, text in FILES.items()}


def test_tests_of_the_page_pass(tmp_path: Path) -> None:
    """Those that check rollups and the one that checks rows run in one process."""
    (rows,) = [text for text in BLOCKS if "def test_the_row_shows_it" in text]
    sources = files()
    sources["conftest"] += FIXTURES

    done = run(tmp_path, **sources, test_rows=rows)

    assert "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "change",
    first_of(
        [
            ("telemetry.record_fallback(error)", "pass"),
            ('telemetry.run("analysis", user_id=user_id', 'telemetry.run("analysis", user_id=None'),
            ("document.score(rate(client, text), out_of=100)", "rate(client, text)"),
        ],
        "another line of the same page",
    ),
)
def test_tests_of_the_page_find_missing_instrumentation(tmp_path: Path, change: tuple[str, str]) -> None:
    """Without one of its calls of telemetry the application fails them."""
    piece, instead = change
    sources = files()
    assert piece in sources["screening"]
    sources["screening"] = sources["screening"].replace(piece, instead)

    assert " failed" in run(tmp_path, **sources).stdout


APPLICATIONS = """
import pytest, telemetry
import conftest

def create_app(url):
    app = conftest.flask.Flask("host")
    app.config.update(SECRET_KEY="secret")
    telemetry.Telemetry(app, engine=url)
    return app

{fixture}

@pytest.mark.parametrize("number", [1, 2])
def test_it(number, app, telemetry_rollups):
    with telemetry.run("analysis", user_id=number, candidates=1):
        pass
    assert [rollup.root.user_id for rollup in telemetry_rollups] == [number]
"""


@pytest.mark.parametrize("is_ended", [True, False])
def test_each_test_may_have_its_own_application(is_ended: bool, tmp_path: Path) -> None:
    """After a shutdown the next application may have another database; without one it is refused."""
    (fixture,) = [text for text in BLOCKS if "yield create_app" in text]
    ended = fixture if is_ended else fixture.replace("telemetry.shutdown()", "pass")
    sources = files()
    sources["conftest"] += FIXTURES
    sources["test_applications"] = APPLICATIONS.format(fixture=ended)

    done = run(tmp_path, "-rP", **sources)

    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert ("telemetry is off for host" in done.stdout) is not is_ended


def test_attributes_in_the_table_exist() -> None:
    """A rollup has every attribute that the page lists."""
    from exporters.rollup.documents import DocumentState
    from exporters.rollup.merge import Rollup
    from exporters.rollup.snapshot import Snapshot, Usage

    table = dict(re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE, re.MULTILINE))
    named = re.findall(r"`(\w+)`", " ".join(table))
    inner = {"root": Snapshot, "total": Usage, "documents": DocumentState}

    assert "cost_complete" in named
    assert [name for name in named if not hasattr(Rollup, name)] == []
    for name, kind in inner.items():
        attributes = re.findall(r"`(\w+)`(?! \()", table[f"`{name}`"].split("(`scored")[0])
        assert [attribute for attribute in attributes if not hasattr(kind, attribute)] == [], name
