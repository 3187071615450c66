"""Every example of docs/how-to/integration.md runs, and stores the rows that the page shows."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests import fresh
from tests.exporters.makers import Host
from tests.telemetry.conftest import Record, migrated_sqlite, record, service  # noqa: F401

FACTORY = """
import flask, telemetry
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect

app, db = flask.Flask("host"), SQLAlchemy()
secret, spool = "secret", "{folder}/spool"
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///{folder}/host.sqlite"
{factory}
app.post("/analyse")(lambda: "done")
refused = app.test_client().post("/analyse").status_code
run_id = telemetry.start_run("analysis").run_id
print(refused, "recorded" if run_id else "not recorded")
telemetry.shutdown(0)
"""

SECOND = """
import flask, telemetry

def create_app(name):
    app = flask.Flask(name)
    app.config.update(SECRET_KEY="secret", TELEMETRY_SPOOL_DIR="{folder}/spool")
    telemetry.Telemetry(app, engine=f"sqlite:///{folder}/{{name}}.sqlite")
    app.add_url_rule("/", view_func=lambda: str(telemetry.start_run("analysis").run_id is not None))
    return app.test_client()

first, second = create_app("host"), create_app("{database}")
print(second.get("/").text)
telemetry.shutdown(0)
print(create_app("{database}").get("/").text)
telemetry.shutdown(0)
"""

PAGE = (Path(__file__).parents[2] / "docs/how-to/integration.md").read_text()
EXAMPLES = re.findall(
    r"^## (.*?)$(?:(?!^## ).)*?^```python\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.M | re.S
)


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def rows(path: Path, columns: list[str]) -> list[list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        result = connection.execute(
            f"SELECT {', '.join(columns)} FROM telemetry_runs ORDER BY kind = 'orphan', started_at"
        )
        return [["NULL" if value is None else str(value) for value in row] for row in result]


def asker(standin: StandIn) -> Callable[[str, str], Awaitable[int]]:
    """Return a function that rates a criterion: one of b.pdf fails once, one of c.pdf always."""
    calls: Counter[tuple[str, str]] = Counter()

    async def ask(name: str, criterion: str) -> int:
        calls[name, criterion] += 1
        async with AsyncOpenAI(base_url=standin.url, api_key="any") as client:
            messages: Any = [{"role": "user", "content": f"Rate the {criterion}."}]
            await client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        failures = {("b.pdf", "language"): 1, ("c.pdf", "language"): 3}
        if calls[name, criterion] <= failures.get((name, criterion), 0):
            raise ValueError("no number")
        return 80

    return ask


@pytest.mark.parametrize(("title", "code", "shown"), EXAMPLES, ids=[title for title, *_ in EXAMPLES])
def test_example_stores_the_rows_it_shows(
    title: str,
    code: str,
    shown: str,
    record: Record,  # noqa: F811
    service: StandIn,  # noqa: F811
) -> None:
    """The rows below the example are those in the database."""
    recorded = record()
    host = Host(f"sqlite:///{recorded.path}")
    host.add_user(7)
    host.add_analysis(1, user_id=7)
    header, *lines = [cells(line) for line in shown.splitlines()]
    with OpenAI(base_url=service.url, api_key="any") as client:
        names: dict[str, Any] = {"telemetry": telemetry, "client": client}
        names["messages"] = [{"role": "user", "content": "How well does the résumé fit?"}]
        names |= {"ask": asker(service), "criteria": ("skills", "experience", "language")}
        exec(code, names)
    recorded.pipeline.shutdown(30)

    assert rows(recorded.path, header) == lines


@pytest.mark.parametrize("order", ["protect, database, telemetry", "telemetry, database, protect"])
def test_application_factory_works_in_any_order(order: str, tmp_path: Path, migrated_sqlite: Path) -> None:  # noqa: F811
    """The lines of the page set telemetry up without a warning, before or after other extensions."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    (factory,) = re.findall(r"^```python\n(app\.config.*?)^```", PAGE, re.M | re.S)
    config, database, extension = factory.splitlines()
    lines = {"protect": "CSRFProtect(app)", "database": database, "telemetry": extension}
    ordered = [config, *(lines[name] for name in order.split(", "))]
    program = FACTORY.format(folder=tmp_path, factory="\n".join(ordered))
    done = fresh.run("-c", program, cwd=tmp_path)

    assert (done.stdout, done.stderr) == ("400 recorded\n", "")


@pytest.mark.parametrize(("database", "is_on"), [("host", True), ("tenant", False)])
def test_second_application_shares_the_database_or_is_refused(
    database: str, is_on: bool, tmp_path: Path
) -> None:
    """A refusal is logged."""
    program = SECOND.format(folder=tmp_path, database=database)
    done = fresh.run("-c", program, cwd=tmp_path)

    assert (done.stdout, "telemetry is off" in done.stderr) == (f"{is_on}\nTrue\n", not is_on), done.stderr


def test_page_has_its_examples() -> None:
    """Each chapter about figures has one."""
    assert len(EXAMPLES) == 8
    assert PAGE.count("```text") == len(EXAMPLES)
