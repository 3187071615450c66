"""Standard output of a command can be parsed, whatever the application prints and wherever it logs to."""

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
from tests import fresh

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
    """The folder of an application that prints and logs wherever it can."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    (tmp_path / "noisy.py").write_text(NOISY)
    return tmp_path


def run(folder: Path, *command: str, flask: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the application, by an interpreter of its own if `flask` names the program."""
    environment = os.environ | {
        "FLASK_APP": "noisy",
        "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "PYTHONUNBUFFERED": "",
    }
    if flask:
        command_line = [*flask, "telemetry", *command]
        done = subprocess.run(command_line, env=environment, cwd=folder, capture_output=True, text=True)
    else:
        done = fresh.run("-m", "flask", "telemetry", *command, env=environment, cwd=folder)
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
        ["assets", "written", "--json"],
        ["assets", "written", "--check", "--json"],
        ["archive", "archived", "--older-than", "30", "--json"],
        ["export", "--format", "json"],
        ["export", "--format", "json", "--output", "-"],
        ["export", "--format", "json", "--output", "/dev/stdout"],
    ],
)
def test_json_is_all_there_is_on_standard_output(folder: Path, command: list[str]) -> None:
    """It is exactly one JSON document."""
    done = run(folder, *command)

    json.loads(done.stdout)


@pytest.mark.parametrize("flask", [FLASK, MODULE], ids=["flask", "python -m flask"])
def test_output_is_the_same_by_script_and_by_module(folder: Path, flask: list[str]) -> None:
    """`flask` and `python -m flask` both keep standard output clean."""
    json.loads(run(folder, "report", "--json", flask=flask).stdout)


def test_insights_print_one_json_line_a_finding(folder: Path) -> None:
    """Without findings there is no line."""
    done = run(folder, "insights", "--json")

    assert [json.loads(line) for line in done.stdout.splitlines()] == []
    assert done.returncode == 0


def test_csv_starts_with_its_header(folder: Path) -> None:
    """No other line precedes it."""
    done = run(folder, "export")

    (header,) = csv.reader(done.stdout.splitlines())
    assert {"run_id", "status"} <= set(header)


def test_sql_can_be_run_as_printed(folder: Path) -> None:
    """Nothing but SQL is printed."""
    assert run(folder, "db", "upgrade", "--sql").stdout == "-- There is nothing to do.\n"
    assert run(folder, "db", "current").stdout == f"{migrate.head()}\n"


def test_plain_text_is_not_mixed_with_other_output(folder: Path) -> None:
    """The same holds for output that people read."""
    assert run(folder, "validate").stdout == "Everything is consistent.\n"


def test_errors_go_to_standard_error(folder: Path) -> None:
    """The exit status is 1, and standard output is empty."""
    (folder / "host.sqlite").unlink()

    done = run(folder, "report", "--json")

    assert done.stdout == ""
    assert done.returncode == 1
    assert "Error: the database cannot be used" in done.stderr


def test_full_disk_is_reported(folder: Path) -> None:
    """The command says that its output cannot be written."""
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
result = app.test_cli_runner().invoke(args=["telemetry", "report", "--json"])
json.loads(result.stdout)
print("printed afterwards")
"""


def test_click_runner_gets_clean_output_too(folder: Path) -> None:
    """Within the application's process the same is captured, and standard output is restored afterwards."""
    done = subprocess.run([sys.executable, "-c", IN_PROCESS], cwd=folder, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "printed afterwards\n" in done.stdout
