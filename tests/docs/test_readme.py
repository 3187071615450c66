"""The README is correct: its examples run, and its picture shows the demo. So is the page of settings."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa

from examples.screener.standin.client import StandIn

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

PRELUDE = """
import types
from flask import Flask
import sqlalchemy as sa

engine = sa.create_engine(DATABASE)
app = Flask("host")
app.secret_key = "secret"
user = types.SimpleNamespace(id=1)
resumes = [types.SimpleNamespace(file_name=f"{n}.txt", data=b"x" * n) for n in (1, 2, 3)]

def rank(resume):
    return 30 * len(resume.data)

def save_analysis(user, resumes):
    row = {"user_id": user.id, "num_candidates": len(resumes), "num_criteria": 1, "cost_usd": 1}
    with engine.begin() as connection:
        connection.execute(sa.text(
            "INSERT INTO analyses (id, user_id, num_candidates, num_criteria, cost_usd, created_at)"
            " VALUES (7, :user_id, :num_candidates, :num_criteria, :cost_usd, CURRENT_TIMESTAMP)"), row)
    return types.SimpleNamespace(id=7)
"""

CLIENT = """
from openai import OpenAI

client = OpenAI()
messages = [{"role": "user", "content": "How well does the résumé fit?"}]
"""


def example() -> str:
    match = re.search(r"<!-- integration example -->\n```python\n(.*?)```", README, re.DOTALL)
    assert match
    return match[1]


def test_integration_example_fills_the_hosts_rows(tmp_path: Path) -> None:
    """In a new process of a host the example leaves an analysis with status and scores."""
    url = f"sqlite:///{tmp_path}/host.sqlite"
    environment = {"TELEMETRY_DATABASE_URL": url, "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool")}
    flask = [
        sys.executable,
        "-m",
        "flask",
        "--app",
        "host",
        "telemetry",
        "db",
        "upgrade",
        "--with-base-tables",
    ]
    subprocess.run(flask, env=environment, cwd=tmp_path, check=True)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        user = {"id": 1, "email": "user@example.com", "password_hash": "-", "name": "User"}
        statement = "INSERT INTO users ({}, created_at) VALUES (:{}, CURRENT_TIMESTAMP)"
        connection.execute(sa.text(statement.format(", ".join(user), ", :".join(user))), user)

    program = f"DATABASE = {url!r}\n{PRELUDE}\n{example()}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    with engine.connect() as connection:
        query = "SELECT status, avg_overall_score, candidates_above_70_percent FROM analyses WHERE id = 7"
        assert connection.execute(sa.text(query)).one() == ("completed", 0.6, 1)
        jobs = connection.execute(
            sa.text("SELECT total_jobs_run, total_candidates_analyzed FROM users")
        ).one()
        assert jobs == (1, 3)


def test_integration_example_is_short() -> None:
    """It has about ten lines, as the README says."""
    assert len([line for line in example().splitlines() if line.strip()]) <= 12


def test_first_lines_count_a_call(tmp_path: Path) -> None:
    """The five lines of the first screen are enough to record one call in its stage."""
    first = re.search(r"<!-- first lines -->\n```python\n(.*?)```", README, re.DOTALL)
    assert first and len([line for line in first[1].splitlines() if line]) == 5
    url, prelude = f"sqlite:///{tmp_path}/host.sqlite", PRELUDE.partition("resumes =")[0]
    environment = {"TELEMETRY_DATABASE_URL": url, "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool")}
    migrate = ["-m", "flask", "telemetry", "db", "upgrade", "--with-base-tables"]
    subprocess.run([sys.executable, *migrate], env=environment, check=True)
    with StandIn() as standin:
        environment |= {"OPENAI_BASE_URL": standin.url, "OPENAI_API_KEY": "any"}
        program = f"DATABASE = {url!r}\n{prelude}\n{CLIENT}\n{first[1]}"
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True
        )

    assert (done.returncode, done.stderr) == (0, "")
    with sa.create_engine(url).connect() as connection:
        query = "SELECT stage, calls FROM telemetry_stages WHERE operation <> ''"
        assert connection.execute(sa.text(query)).all() == [("ranking", 1)]


def test_picture_shows_the_demo() -> None:
    """It is drawn by `make docs` from text of the README that another test compares with the demo."""
    tools = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    svg = tools["PICTURE"].read_text()

    assert svg == tools["picture"](tools["output"](README)), "run `make docs`"
    assert "(docs/report.svg)" in README.partition("\n## ")[0]


def test_page_of_settings_is_up_to_date() -> None:
    """The committed page is what `make docs` writes: every setting with its default and its sentence."""
    tools = runpy.run_path(str(ROOT / "docs" / "settings.py"))

    assert tools["PAGE"].read_text() == tools["page"](), "run `make docs`"
