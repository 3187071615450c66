"""A process has one pipeline: a second application shares its database, or is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from tests import fresh

Processes = Callable[[str], subprocess.CompletedProcess[str]]

TWO = """
import logging, os, threading
import flask, sqlalchemy as sa, telemetry
from openai import OpenAI
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")

def create_app(name, database=None, **config):
    app = flask.Flask(name)
    app.config.update(SECRET_KEY="secret", TESTING=True, **config)
    engine = sa.create_engine(f"sqlite:///{database or name}.sqlite")
    telemetry.Telemetry(app, engine=engine, admin_required=lambda view: view, track_warnings=True,
                        current_user_id=lambda: 1)
    app.add_url_rule("/run", view_func=work)
    app.add_url_rule("/stream", view_func=stream)
    app.add_url_rule("/thread", view_func=thread)
    app.cli.command("work")(work)
    return app

def ask():
    question = [{"role": "user", "content": "a question"}]
    OpenAI().chat.completions.create(model="gpt-4o-mini", messages=question)

def work():
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
        ask()
    telemetry.warn("batch_too_large", subject=("draft", 1))
    ask()
    return "done"

def stream():
    def parts():
        work()
        yield "done"
    return flask.Response(parts())

def thread():
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    return "done"

"""


@pytest.fixture
def processes(migrated_sqlite: Path, tmp_path: Path) -> Processes:
    """Runs a program after :data:`TWO`, in a folder with the databases `one` and `two`."""
    for name in ("one", "two"):
        shutil.copy(migrated_sqlite, tmp_path / f"{name}.sqlite")

    def run(program: str) -> subprocess.CompletedProcess[str]:
        with StandIn() as standin:
            environment = os.environ | {
                "OPENAI_API_KEY": "any",
                "OPENAI_BASE_URL": standin.url,
                "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool"),
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_METRICS_EXPORTER": "none",
            }
            done = fresh.run("-c", TWO + program, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    return run


def recorded(folder: Path, name: str) -> tuple[int, int, int]:
    """Return the runs, calls and warnings in a database."""
    with sa.create_engine(f"sqlite:///{folder / name}.sqlite", poolclass=sa.NullPool).connect() as connection:
        runs = connection.execute(
            sa.text("SELECT COUNT(CASE kind WHEN 'analysis' THEN 1 END), SUM(api_calls) FROM telemetry_runs")
        ).one()
        warnings = connection.scalar(sa.text("SELECT COUNT(*) FROM document_warnings"))
    return runs[0], runs[1] or 0, warnings or 0


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "WARNING"))]


EVERYWHERE = """
client = app.test_client()
for path in ("/run", "/stream", "/thread"):
    assert client.get(path).data == b"done"
with app.app_context():
    work()
with app.test_request_context():
    work()
app.test_cli_runner().invoke(args=["work"], catch_exceptions=False)
"""
"""Makes six times one run, two calls and a warning."""


def test_a_second_database_is_refused_in_one_line(processes: Processes, tmp_path: Path) -> None:
    """The line names both databases and the remedy; no data of the second is stored in the first."""
    done = processes("one, app = create_app('one'), create_app('two')" + EVERYWHERE)

    assert errors(done) == [
        f"ERROR telemetry is off for two: this process records into sqlite:///{tmp_path}/one.sqlite, and its"
        f" database is sqlite:///{tmp_path}/two.sqlite; call telemetry.shutdown() before the second is set"
        " up, or run one process for each"
    ]
    assert recorded(tmp_path, "one") == recorded(tmp_path, "two") == (0, 0, 0)


def test_first_application_goes_on_beside_a_refused_one(processes: Processes, tmp_path: Path) -> None:
    """It records around and inside the contexts of the second, too."""
    processes(
        "app, two = create_app('one'), create_app('two')"
        + EVERYWHERE
        + """
with two.app_context():
    work()
    with app.app_context():
        work()
    work()
work()
"""
    )

    assert recorded(tmp_path, "one") == (8, 16, 8)
    assert recorded(tmp_path, "two") == (0, 0, 0)


def test_two_applications_may_share_a_database(processes: Processes, tmp_path: Path) -> None:
    """As when a factory is called twice; nothing is logged."""
    done = processes("one, app = create_app('one'), create_app('two', 'one')" + EVERYWHERE)

    assert errors(done) == []
    assert recorded(tmp_path, "one") == (6, 12, 6)


def test_differing_settings_of_a_shared_database_are_logged(processes: Processes, tmp_path: Path) -> None:
    """Those of the first application apply."""
    done = processes(
        "one, app = create_app('one'), create_app('two', 'one', TELEMETRY_TIMEZONE='Europe/Berlin')"
        + EVERYWHERE
    )

    assert errors(done) == [
        "WARNING telemetry: this process was set up with other values of TELEMETRY_TIMEZONE, which apply"
        " until telemetry.shutdown()"
    ]
    assert recorded(tmp_path, "one") == (6, 12, 6)


@pytest.mark.parametrize("config", ["TELEMETRY_ENABLED=False", "TELEMETRY_METRICS_PORT='abc'"])
@pytest.mark.parametrize("order", ["create_app('one'), {off}", "{off}, create_app('one')"])
def test_application_that_is_off_stays_off_beside_another(
    processes: Processes, tmp_path: Path, config: str, order: str
) -> None:
    """Its own settings switch it off, whichever application is created first."""
    made = order.format(off=f"create_app('two', {config})")
    processes(f"apps = {made}; app = [one for one in apps if one.name == 'two'][0]" + EVERYWHERE)

    assert recorded(tmp_path, "one") == recorded(tmp_path, "two") == (0, 0, 0)


def test_views_of_a_refused_application_answer_503(processes: Processes, tmp_path: Path) -> None:
    """They exist, so that pages can link to them, and say that telemetry is off."""
    done = processes(
        """
create_app("one")
client = create_app("two").test_client()
for answer in (
    client.get("/admin/analytics/export/csv"),
    client.post("/api/track-warning", json={"warning_type": "batch_too_large"}),
    client.patch("/api/track-warning/1", json={"user_action": "continued"}),
):
    print(answer.status_code, answer.json["field"])
"""
    )

    assert done.stdout == "503 telemetry\n" * 3
    assert recorded(tmp_path, "one") == (0, 0, 0)


def test_second_application_records_after_a_shutdown(processes: Processes, tmp_path: Path) -> None:
    """The first, which still exists, writes nothing into the database of the second."""
    done = processes(
        """
app = one = create_app("one")
"""
        + EVERYWHERE
        + """
assert telemetry.shutdown()
one.test_client().get("/run")
app = create_app("two")
one.test_client().get("/run")
"""
        + EVERYWHERE
        + """
assert telemetry.shutdown()
telemetry.Telemetry(one, engine=sa.create_engine("sqlite:///one.sqlite"))
app = one
"""
        + EVERYWHERE
    )

    assert errors(done) == []
    assert recorded(tmp_path, "one") == (12, 24, 12)
    assert recorded(tmp_path, "two") == (6, 12, 6)


def test_one_extension_may_serve_two_applications(processes: Processes, tmp_path: Path) -> None:
    """Each has its own database, which its commands use."""
    done = processes(
        """
extension = telemetry.Telemetry()
apps = [flask.Flask(name) for name in ("one", "two")]
for app in apps:
    app.config["SECRET_KEY"] = "secret"
    extension.init_app(app, engine=sa.create_engine(f"sqlite:///{app.name}.sqlite"))
with apps[0].app_context():
    work()
from telemetry.cli.group import cli
for app in apps:
    app.cli.add_command(cli)
    print(app.test_cli_runner().invoke(args=["telemetry", "db", "current"]).exit_code)
    exported = app.test_cli_runner().invoke(args=["telemetry", "export", "--format", "csv"])
    assert exported.exit_code == 0, exported.output
"""
    )

    assert done.stdout == "0\n0\n"
    assert recorded(tmp_path, "one") == (1, 2, 1)
    assert recorded(tmp_path, "two") == (0, 0, 0)


def test_initialising_twice_changes_nothing(processes: Processes, tmp_path: Path) -> None:
    """A warning says so."""
    done = processes(
        """
app = create_app("one")
telemetry.Telemetry(app, admin_required=lambda view: view, track_warnings=True)
"""
        + EVERYWHERE
    )

    assert errors(done) == ["WARNING telemetry: Telemetry(app) was called again for one; nothing is changed"]
    assert recorded(tmp_path, "one") == (6, 12, 6)
