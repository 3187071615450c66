"""What machines read from a command is whole, whatever the application prints and wherever it logs to."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.sql.schema import migrate

NOISY = """
import atexit, logging, os, subprocess, sys
print("printed at import")
atexit.register(print, "printed at exit")
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
os.write(1, b"written to the descriptor\\n")
subprocess.run(["echo", "printed by a child"])
before = sys.stdout
import flask, sqlalchemy as sa, telemetry

def engine():
    print("printed by engine=")
    before.write("written to what was standard output at import\\n")
    return sa.create_engine("sqlite:///host.sqlite", echo=True)

def create_app():
    print("printed by create_app")
    app = flask.Flask("noisy")
    app.config["SECRET_KEY"] = "secret"
    telemetry.Telemetry(app, engine=engine)
    return app
"""
FLASK = [str(Path(sys.executable).with_name("flask"))]
MODULE = [sys.executable, "-m", "flask"]


@pytest.fixture
def folder(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """Of an application that prints and logs wherever it can."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    (tmp_path / "noisy.py").write_text(NOISY)
    return tmp_path


def run(folder: Path, *command: str, flask: list[str] = FLASK) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "FLASK_APP": "noisy",
        "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "PYTHONUNBUFFERED": "",
    }
    done = subprocess.run(
        [*flask, "telemetry", *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert command[0] == "unused" or {"printed by create_app", "printed at exit"} <= set(
        done.stderr.split("\n")
    )
    return done


@pytest.mark.parametrize(
    "command",
    [
        ["report", "--json"],
        ["doctor", "--no-run", "--json"],
        ["unused", "--json"],
        ["health-check", "--json"],
        ["reprice", "--days", "7", "--json"],
        ["spool", "list", "--json"],
        ["validate", "--json"],
        ["archive", "archived", "--older-than", "30", "--json"],
        ["export", "--format", "json"],
        ["export", "--format", "json", "--output", "-"],
        ["export", "--format", "json", "--output", "/dev/stdout"],
    ],
)
def test_json(folder: Path, command: list[str]) -> None:
    """Nothing but one JSON text."""
    done = run(folder, *command)

    json.loads(done.stdout)


@pytest.mark.parametrize("flask", [FLASK, MODULE], ids=["flask", "python -m flask"])
def test_either_way_to_start_it(folder: Path, flask: list[str]) -> None:
    """By the script and by the module."""
    json.loads(run(folder, "report", "--json", flask=flask).stdout)


def test_lines_of_json(folder: Path) -> None:
    """Without findings there is none."""
    done = run(folder, "insights", "--json")

    assert [json.loads(line) for line in done.stdout.splitlines()] == []
    assert done.returncode == 0


def test_csv(folder: Path) -> None:
    """The first line is the header."""
    done = run(folder, "export")

    (header,) = csv.reader(done.stdout.splitlines())
    assert {"run_id", "status"} <= set(header)


def test_sql(folder: Path) -> None:
    """It can be run as it is."""
    assert run(folder, "db", "upgrade", "--sql").stdout == "-- There is nothing to do.\n"
    assert run(folder, "db", "current").stdout == f"{migrate.head()}\n"


def test_lines_for_people(folder: Path) -> None:
    """They are not mixed with others, either."""
    assert run(folder, "validate").stdout == "Everything is consistent.\n"


def test_what_is_wrong(folder: Path) -> None:
    """It is on standard error, with the exit status, and standard output is empty."""
    (folder / "host.sqlite").unlink()

    done = run(folder, "report", "--json")

    assert done.stdout == ""
    assert done.returncode == 1
    assert "Error: the database cannot be used" in done.stderr


def test_a_full_disk(folder: Path) -> None:
    """The command says that nobody takes its output."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*FLASK, "--app", "noisy", "telemetry", "report", "--json"],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
        )

    assert done.returncode == 1
    assert "Error: the output cannot be written" in done.stderr


IN_PROCESS = """
import json, sys
from noisy import create_app
from telemetry.cli.group import cli

app = create_app()
app.cli.add_command(cli)
found = app.test_cli_runner().invoke(args=["telemetry", "report", "--json"])
json.loads(found.stdout)
print("still there")
"""


def test_in_the_process_of_the_application(folder: Path) -> None:
    """A test runner of click's gets the same, and standard output is the application's again."""
    done = subprocess.run([sys.executable, "-c", IN_PROCESS], cwd=folder, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "still there\n" in done.stdout
