"""Set-up never raises because of its environment: it works, or logs in one line what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

from tests import fresh

PRELUDE = """
import logging, os, sys
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
import flask, sqlalchemy as sa, telemetry

def made(**options):
    app = flask.Flask("host")
    app.config["SECRET_KEY"] = "secret"
    telemetry.Telemetry(app, **options)
    return app

def count():
    assert telemetry.shutdown()
    with sa.create_engine("sqlite:///host.sqlite").connect() as connection:
        return connection.scalar(sa.text("SELECT COUNT(*) FROM telemetry_runs"))

def use(app):
    with app.app_context(), telemetry.run("analysis", candidates=1):
        pass
"""


@pytest.fixture
def folder(migrated_sqlite: Path, tmp_path: Path) -> Path:
    (tmp_path / "host.sqlite").write_bytes(migrated_sqlite.read_bytes())
    return tmp_path


class Run(Protocol):
    """Runs a program after the prelude, in a folder and with further settings."""

    def __call__(
        self, folder: Path, program: str, **environment: str
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run() -> Run:
    """Run a program in a process of its own."""

    def run(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = fresh.run("-c", PRELUDE + program, env=environment_of(folder) | environment, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done

    return run


def run_alone(folder: Path, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process that has imported nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        env=environment_of(folder) | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def environment_of(folder: Path) -> dict[str, str]:
    return os.environ | {
        "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
    }


def warnings_and_errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith(("ERROR", "WARNING"))]


@pytest.mark.parametrize(
    "engine",
    [
        "sa.create_engine(URL)",
        "lambda: sa.create_engine(URL)",
        "URL",
        "sa.make_url(URL)",
        "lambda: URL",
        "sa.orm.Session(sa.create_engine(URL))",
        "sa.orm.scoped_session(sa.orm.sessionmaker(sa.create_engine(URL)))",
        "sa.orm.sessionmaker(sa.create_engine(URL))",
        "'sqlite+aiosqlite:///host.sqlite'",
        "Asynchronous()",
    ],
)
def test_database_may_be_given_in_any_form(engine: str, folder: Path, run: Run) -> None:
    """As an engine, a session or a URL, or as a function that returns one."""
    done = run(
        folder,
        f"""
import sqlalchemy.orm
URL = "sqlite:///host.sqlite"
class Asynchronous:  # as AsyncEngine is
    sync_engine = sa.create_engine(URL)
use(made(engine={engine}))
print(count())
""",
    )

    assert warnings_and_errors(done) == []
    assert done.stdout == "1\n"


LATE = """
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()
app = flask.Flask("host")
app.config.update(SECRET_KEY="secret", SQLALCHEMY_DATABASE_URI=f"sqlite:///{os.getcwd()}/host.sqlite")
"""


@pytest.mark.parametrize("options", ["", ", engine=lambda: db.engine", ", engine=db"])
@pytest.mark.parametrize(
    "first_use",
    [
        "use(app)",
        "with telemetry.run('analysis', candidates=1): pass",
        "app.add_url_rule('/', view_func=lambda: use(app) or 'done'); app.test_client().get('/')",
    ],
)
def test_set_up_may_precede_the_database(options: str, first_use: str, folder: Path, run: Run) -> None:
    """The database is looked up at the first use: a context, a run, or a request."""
    argument = options if options != ", engine=db" else ", engine=lambda: db"
    done = run(
        folder,
        f"{LATE}telemetry.Telemetry(app{argument})\ndb.init_app(app)\n{first_use}\nprint(count())",
    )

    assert warnings_and_errors(done) == []
    assert done.stdout == "1\n"


def test_missing_database_is_logged_once(folder: Path, run: Run) -> None:
    """The line says how to give one."""
    done = run(folder, "app = made()\nfor _ in range(2): use(app)\n")

    (line,) = warnings_and_errors(done)
    assert line.startswith("WARNING telemetry has no database for host")
    assert "give engine=, set TELEMETRY_DATABASE_URL, or call db.init_app(app)" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("engine=lambda: 1/0", "engine= raised ZeroDivisionError"),
        ("engine=lambda: None", "engine= returned a NoneType"),
        ("engine='mysql://root:geheim@db/app'", "names mysql: rollups need PostgreSQL or SQLite"),
        ("engine='nonsense'", "is no SQLAlchemy URL"),
        ("engine='postgresql+nosuch://u:geheim@db/app'", "no driver for postgresql+nosuch:// is known"),
        ("engine='sqlite://'", "an in-memory SQLite database exists only in the host's own connection"),
    ],
)
def test_unusable_database_switches_telemetry_off(options: str, words: str, folder: Path, run: Run) -> None:
    """The application runs, and one line, without a password, gives the reason."""
    done = run(folder, f"app = made({options})\nfor _ in range(2): use(app)\n")

    (line,) = warnings_and_errors(done)
    assert line.startswith("ERROR telemetry is off")
    assert words in line
    assert "geheim" not in done.stderr


HIDDEN = """
import importlib.abc, importlib.util, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {names!r} else find_spec(name, package)
"""


@pytest.mark.parametrize(
    ("url", "names", "package"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", ("psycopg", "psycopg2"), "psycopg[binary]"),
        ("postgresql+psycopg2://nobody@127.0.0.1:1/none", ("psycopg2",), "psycopg2-binary"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/none", ("psycopg",), "psycopg[binary]"),
        ("postgresql+asyncpg://nobody@127.0.0.1:1/none", ("psycopg", "psycopg2"), "psycopg[binary]"),
    ],
)
def test_missing_driver_is_named(url: str, names: tuple[str, ...], package: str, folder: Path) -> None:
    """Set-up and every command print one line with the package to install."""
    done = run_alone(
        folder,
        HIDDEN.format(names=names)
        + f"""
app = made(engine={url!r})
from telemetry.cli.group import cli
app.cli.add_command(cli)
for words in ("report", "validate", "insights", "export", "spool recover", "spool list", "db upgrade",
              "db current", "db downgrade --yes", "health-check", "import-history"):
    result = app.test_cli_runner().invoke(args=["telemetry", *words.split()])
    assert result.exit_code == 1, (words, result.output, result.exception)
    assert result.stderr.count("\\n") == 1, (words, result.stderr)
    assert "pip install '{package}'" in result.stderr, (words, result.stderr)
""",
    )

    (line,) = warnings_and_errors(done)
    assert f"pip install '{package}'" in line


def test_other_platforms_than_posix_switch_telemetry_off(folder: Path) -> None:
    """Importing works, and one line says that telemetry is off."""
    hidden = HIDDEN.format(names=("fcntl",))
    program = f"""{hidden}
import os
for name in ("fork", "getuid", "register_at_fork"):
    delattr(os, name)
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
import flask, telemetry, telemetry.web.extension
app = flask.Flask("host")
telemetry.Telemetry(app, engine="sqlite:///host.sqlite", admin_required=lambda view: view)
app.add_url_rule("/", view_func=lambda: "done")
with telemetry.run("analysis"), telemetry.stage("ranking"):
    assert app.test_client().get("/").data == b"done"
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    (line,) = warnings_and_errors(done)
    assert line.startswith("ERROR telemetry is off for host: it needs a POSIX system, such as Linux or macOS")


@pytest.mark.parametrize("secret", ["None", "b'bytes'", "12345678901", "'text'", "bytearray(b'bytes')"])
def test_secret_key_may_have_any_type(secret: str, folder: Path, run: Run) -> None:
    """Runs are recorded, and a warning is logged only without a key."""
    done = run(
        folder,
        f"""
app = flask.Flask("host")
app.config["SECRET_KEY"] = {secret}
telemetry.Telemetry(app, engine="sqlite:///host.sqlite")
use(app)
print(count())
""",
    )

    assert done.stdout == "1\n"
    assert len(warnings_and_errors(done)) == (secret == "None")


def test_wrong_arguments_raise_a_type_error(folder: Path, run: Run) -> None:
    """An error of the programmer is raised, as by any constructor."""
    run(
        folder,
        """
for wrong in (
    lambda: telemetry.Telemetry(admin_reqired=len),
    lambda: made(admin_required="admin"),
    lambda: made(current_user_id=7),
    lambda: made(engine=7),
    lambda: made(engine=[]),
    lambda: telemetry.Telemetry("host"),
):
    try:
        wrong()
    except TypeError:
        continue
    raise AssertionError("nothing was raised")
""",
    )


def test_set_up_after_the_first_request_switches_telemetry_off(folder: Path, run: Run) -> None:
    """Flask accepts no more views and hooks then; one line says where to set up the extension."""
    done = run(
        folder,
        """
app = flask.Flask("host")
app.test_client().get("/")
telemetry.Telemetry(app, engine="sqlite:///host.sqlite", admin_required=lambda view: view)
""",
    )

    (line,) = warnings_and_errors(done)
    assert line.startswith("ERROR telemetry is off for host: it has answered a request")


def test_default_database_of_flask_sqlalchemy_is_required(folder: Path, run: Run) -> None:
    """Where it has binds but no default, one line says how to give the database."""
    done = run(
        folder,
        """
from flask_sqlalchemy import SQLAlchemy
app = flask.Flask("host")
app.config.update(SECRET_KEY="s", SQLALCHEMY_BINDS={"other": f"sqlite:///{os.getcwd()}/host.sqlite"})
SQLAlchemy(app)
telemetry.Telemetry(app)
use(app)
""",
    )

    (line,) = warnings_and_errors(done)
    assert line.startswith("ERROR telemetry is off for host: Flask-SQLAlchemy has no default database here")


def test_folder_of_the_host_that_hides_our_package_is_named(folder: Path) -> None:
    """A host with its own `exporters/` runs; telemetry is off, and one line names that folder."""
    (folder / "exporters").mkdir()
    (folder / "exporters" / "__init__.py").touch()
    done = run_alone(folder, "use(made())", TELEMETRY_DATABASE_URL="sqlite:///host.sqlite")

    (line,) = warnings_and_errors(done)
    assert line.startswith("ERROR telemetry is off: No module named 'exporters.")
    assert line.endswith(f"; {folder}/exporters is found before the package of analysis-telemetry: rename it")


def test_commands_name_a_folder_that_hides_our_package(folder: Path) -> None:
    """They print the same line, and do nothing else."""
    (folder / "exporters").mkdir()
    (folder / "exporters" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "flask", "telemetry", "report"],
        env=os.environ | {"TELEMETRY_DATABASE_URL": "sqlite:///host.sqlite"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 1
    assert f"; {folder}/exporters is found before the package of analysis-telemetry: rename it" in done.stderr
    assert "Traceback" not in done.stderr
