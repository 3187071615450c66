"""Every example of docs/integration.md is run, and leaves the rows that the page shows."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.exporters.makers import Host
from tests.telemetry.conftest import Record, migrated_sqlite, record, service  # noqa: F401

FACTORY = """
import flask, telemetry
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect

app, db = flask.Flask("host"), SQLAlchemy()
secret, spool = "secret", "{folder}/spool"
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///{folder}/host.sqlite"
{before}{factory}{after}
app.post("/analyse")(lambda: "done")
refused = app.test_client().post("/analyse").status_code
run_id = telemetry.start_run("analysis").run_id
print(refused, "recorded" if run_id else "not recorded")
telemetry.shutdown(0)
"""

PAGE = (Path(__file__).parents[2] / "docs/integration.md").read_text()
EXAMPLES = re.findall(
    r"^## (.*?)$(?:(?!^## ).)*?^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.M | re.S
)


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def rows(path: Path, columns: list[str]) -> list[list[str]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(
            f"SELECT {', '.join(columns)} FROM telemetry_runs ORDER BY kind = 'orphan', started_at"
        )
        return [["NULL" if value is None else str(value) for value in row] for row in found]


@pytest.mark.parametrize(("title", "code", "shown"), EXAMPLES, ids=[title for title, *_ in EXAMPLES])
def test_an_example(title: str, code: str, shown: str, record: Record, service: StandIn) -> None:  # noqa: F811
    """The rows below it are those that it leaves."""
    recorded = record()
    host = Host(f"sqlite:///{recorded.path}")
    host.add_user(7)
    host.add_analysis(1, user_id=7)
    header, *lines = [cells(line) for line in shown.splitlines()]
    with OpenAI(base_url=service.url, api_key="any") as client:
        names: dict[str, Any] = {"telemetry": telemetry, "client": client}
        names["messages"] = [{"role": "user", "content": "How well does the résumé fit?"}]
        exec(code, names)
    recorded.pipeline.shutdown(30)

    assert rows(recorded.path, header) == lines


@pytest.mark.parametrize("other", ["before", "after"])
def test_the_application_factory(other: str, tmp_path: Path) -> None:
    """The lines of the page set telemetry up, and CSRFProtect may stand on either side of them."""
    (factory,) = re.findall(r"^```python\n(app\.config.*?)^```", PAGE, re.M | re.S)
    protect = "CSRFProtect(app)\n"
    program = FACTORY.format(
        folder=tmp_path,
        before=protect if other == "before" else "",
        factory=factory,
        after=protect if other == "after" else "",
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stdout == "400 recorded\n", done.stderr


def test_the_page_has_its_examples() -> None:
    """One for each chapter that says what numbers become."""
    assert len(EXAMPLES) == 5
    assert PAGE.count("```text") == len(EXAMPLES)
