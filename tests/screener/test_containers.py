"""What runs in containers: installing, health checks, and a user who submits again and again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from examples.screener import health
from examples.screener.app import create_app
from examples.screener.install import DASHBOARDS, EXPORTER
from examples.screener.jobs import beat
from examples.screener.models import db
from tests.end_to_end.processes import ROOT, environment
from tests.local_server import Handler, LocalServer
from tests.postgres import TemporaryPostgres


@pytest.fixture
def installed(postgres: TemporaryPostgres, postgres_url: str) -> Iterator[str]:
    """A database that was installed twice, as by each start of the containers."""
    passwords = {"DASHBOARDS_PASSWORD": "it's new", "EXPORTER_PASSWORD": "too"}
    settings = {"SCREENER_DATABASE_URL": postgres_url, "SECRET_KEY": "any", **passwords}
    for _ in range(2):
        command = [sys.executable, "-m", "examples.screener.install"]
        env = environment(**settings, TELEMETRY_ENABLED="false")
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    yield postgres_url
    with psycopg.connect(plain(postgres_url), autocommit=True) as connection:
        for role in (DASHBOARDS, EXPORTER):
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def plain(url: str, role: str = "postgres") -> str:
    """Return a URL for libpq."""
    return sa.make_url(url).set(drivername="postgresql", username=role).render_as_string(hide_password=False)


def test_install_creates_the_role_of_dashboards(installed: str) -> None:
    """It has a password, reads views, and nothing else; the users are there once."""
    with psycopg.connect(plain(installed, DASHBOARDS)) as reader:
        assert reader.execute("SELECT COUNT(*) FROM telemetry_jobs").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT * FROM users")
    with psycopg.connect(plain(installed)) as owner:
        assert has_password(owner, DASHBOARDS)
        assert owner.execute("SELECT COUNT(*) FROM users").fetchone() == (2,)


def test_install_creates_the_role_of_the_exporter(installed: str) -> None:
    """It has a password, reads the statistics of the whole server, and no data."""
    with psycopg.connect(plain(installed, EXPORTER), autocommit=True) as reader:
        assert reader.execute("SELECT pg_has_role('pg_monitor', 'MEMBER')").fetchone() == (True,)
        for table in ("users", "telemetry_jobs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(f"SELECT * FROM {table}".encode())
    with psycopg.connect(plain(installed)) as owner:
        assert has_password(owner, EXPORTER)


def has_password(owner: psycopg.Connection[tuple[object, ...]], role: str) -> bool:
    """Return whether a role has a password, which is not stored in plain text."""
    stored = "SELECT rolpassword LIKE 'SCRAM-SHA-256%%' FROM pg_authid WHERE rolname = %s"
    return owner.execute(stored, (role,)).fetchone() == (True,)


def test_history_fills_the_database_of_the_screener(installed: str) -> None:
    """Once, beside the users that are there, who may go on."""
    env = environment(SCREENER_DATABASE_URL=installed)
    command = [sys.executable, "-m", "examples.screener.history", "--days=30", "--analyses=40"]
    command.append("--documents-days=5")
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    with psycopg.connect(plain(installed)) as connection:
        jobs = connection.execute("SELECT COUNT(*), MIN(user_ref) FROM telemetry_jobs").fetchone()
        assert jobs and jobs[0] in (39, 40) and jobs[1] > 2


def test_health_of_a_worker(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is well if it looked for a job lately, and not if it did long ago, or cannot say."""
    monkeypatch.setenv("SCREENER_DATABASE_URL", installed)
    assert health.main(["worker"]) == 1
    app = create_app({"SCREENER_DATABASE_URL": installed, "SECRET_KEY": "any", "TELEMETRY_ENABLED": False})
    with app.app_context():
        beat()
        assert health.main(["worker"]) == 0
        db.session.execute(sa.text("UPDATE worker_heartbeats SET seen_at = seen_at - interval '1 hour'"))
        db.session.commit()
        assert health.main(["worker"]) == 1
        db.engine.dispose()
    monkeypatch.setenv("SCREENER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert health.main(["worker"]) == 1


def test_health_of_the_app() -> None:
    """It is well if it answers, without being asked for anything that needs its database."""
    asked: list[str] = []

    class Receiver(Handler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.answer()

    with LocalServer(Receiver) as server:
        port = int(server.url.rpartition(":")[2])
        assert health.web_is_well(port)
    assert not health.web_is_well(port)
    app = create_app({"SCREENER_DATABASE_URL": "sqlite://", "SECRET_KEY": "any", "TELEMETRY_ENABLED": False})
    assert app.test_client().get(asked[0]).status_code == 200


def test_health_checks_import_little() -> None:
    """They run beside what they check, in the memory of its container."""
    code = "import sys, examples.screener.health; print(sorted({'flask', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
