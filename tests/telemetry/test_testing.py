"""The fixtures of `telemetry.testing` record an application's runs and calls, whenever it is created."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from tests.fresh import Nursery

CONFTEST = """
import flask, pytest, sqlalchemy as sa, telemetry
from openai import OpenAI

pytest_plugins = ["telemetry.testing"]

def create_app(path):
    app = flask.Flask("host")
    app.config["SECRET_KEY"] = "secret"
    telemetry.Telemetry(app, engine=sa.create_engine(f"sqlite:///{path}"))

    @app.get("/run")
    def work():
        with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
            question = [{"role": "user", "content": "a question"}]
            OpenAI().chat.completions.create(model="gpt-4o-mini", messages=question)
        return "done"

    return app

@pytest.fixture
def app(tmp_path):
    return create_app(tmp_path / "host.sqlite")

@pytest.fixture
def app_that_ends(tmp_path):
    yield create_app(tmp_path / "host.sqlite")
    telemetry.shutdown()

@pytest.fixture(scope="session")
def one_app(tmp_path_factory):
    return create_app(tmp_path_factory.mktemp("host") / "host.sqlite")

def check(app, rollups, times=1):
    for _ in range(times):
        assert app.test_client().get("/run").data == b"done"
    ended = [(run.status, sum(usage.calls for usage in run.usage.values())) for run in rollups]
    assert ended == [("completed", 1)] * times
"""
TWICE = """
import pytest
from conftest import check, create_app

pytestmark = pytest.mark.parametrize("number", range(2))

"""
MADE_FOR_EACH_TEST = """
def test_before(app, telemetry_rollups, number): check(app, telemetry_rollups)
def test_after(telemetry_rollups, app, number): check(app, telemetry_rollups)
def test_ended_after(app_that_ends, telemetry_rollups, number): check(app_that_ends, telemetry_rollups)
def test_ended_before(telemetry_rollups, app_that_ends, number): check(app_that_ends, telemetry_rollups)
def test_inside(telemetry_rollups, tmp_path, number): check(create_app(tmp_path / "a"), telemetry_rollups)
"""
MADE_FOR_ALL = """
def test_before(one_app, telemetry_rollups, number): check(one_app, telemetry_rollups, 2)
def test_another(one_app, app, telemetry_rollups, number): check(app, telemetry_rollups)
"""
MADE_LATE_FOR_ALL = """
def test_late(telemetry_rollups, request, number):
    check(request.getfixturevalue("one_app"), telemetry_rollups)
def test_before(one_app, telemetry_rollups, number): check(one_app, telemetry_rollups, 2)
"""


@pytest.mark.parametrize(
    ("tests", "passed"), [(MADE_FOR_EACH_TEST, 10), (MADE_FOR_ALL, 4), (MADE_LATE_FOR_ALL, 4)]
)
def test_rollups_are_recorded_whenever_the_application_is_made(
    tests: str, passed: int, tmp_path: Path, libraries: Nursery
) -> None:
    """The application may be made before the fixture or after it, for one test or for all, or repeatedly."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_host.py").write_text(TWICE + tests)

    done = pytest_in(tmp_path, libraries)

    assert f"{passed} passed" in done.stdout, done.stdout


AROUND = """
import sqlalchemy as sa, telemetry
from conftest import check, create_app

def test_around(one_app, telemetry_rollups):
    check(one_app, telemetry_rollups)

def test_afterwards(one_app, tmp_path_factory):
    assert one_app.test_client().get("/run").data == b"done"
    assert telemetry.shutdown()
    with one_app.extensions["telemetry"].engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT COUNT(*) FROM telemetry_runs")) == 1
"""


def test_application_records_to_its_database_afterwards(
    tmp_path: Path, migrated_sqlite: Path, libraries: Nursery
) -> None:
    """Its database holds no run of the fixture's, but those that come after it."""
    copied = "import shutil\n" + CONFTEST.replace(
        "    app = flask", f"    shutil.copy({str(migrated_sqlite)!r}, path)\n    app = flask"
    )
    (tmp_path / "conftest.py").write_text(copied)
    (tmp_path / "test_host.py").write_text(AROUND)

    done = pytest_in(tmp_path, libraries)

    assert "2 passed" in done.stdout, done.stdout


def pytest_in(folder: Path, libraries: Nursery) -> subprocess.CompletedProcess[str]:
    with StandIn() as standin:
        environment = os.environ | {
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": standin.url,
            "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
        }
        options = ("-q", "-p", "no:cacheprovider", "--rootdir", str(folder))
        return libraries.run("-m", "pytest", *options, str(folder), env=environment, cwd=folder)
