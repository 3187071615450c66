"""Migrations beside those of a host that uses Flask-Migrate."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import fresh
from tests.choice import first_of

APPLICATION = """
import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

from exporters.sql.schema.migrate import include_object
from telemetry import Telemetry

app = Flask(__name__)
app.config.update(SQLALCHEMY_DATABASE_URI=os.environ["DATABASE"], SECRET_KEY="k")
db = SQLAlchemy(app)
Migrate(app, db, include_object=include_object)
Telemetry(app)


class User(db.Model):
    __tablename__ = "users"
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), nullable=False, unique=True)
    created_at = db.Column(db.DateTime)
    if "WITH_PHONE" in os.environ:
        phone = db.Column(db.String(40))


class Analysis(db.Model):
    __tablename__ = "analyses"
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.ForeignKey("users.id"), nullable=False)
    num_candidates = db.Column(db.Integer, nullable=False)
    created_at = db.Column(db.DateTime, nullable=False)
    completed_at = db.Column(db.DateTime)
    processing_duration_seconds = db.Column(db.Integer)


class CandidateFile(db.Model):
    __tablename__ = "candidate_files"
    id = db.Column(db.Integer, primary_key=True)
    analysis_id = db.Column(db.ForeignKey("analyses.id", ondelete="CASCADE"), nullable=False)
    file_name = db.Column(db.String(255), nullable=False)
    file_bytes = db.Column(db.LargeBinary, nullable=False)
"""


class Host:
    """An application and its commands."""

    def __init__(self, url: str, folder: Path) -> None:
        (folder / "application.py").write_text(APPLICATION)
        self._folder = folder
        self._environment = {
            **os.environ,
            "FLASK_APP": "application",
            "DATABASE": url,
            "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
        }

    def flask(self, command: str, **environment: str) -> str:
        """Run a command of the application, and return its output."""
        env = self._environment | environment
        done = fresh.run("-m", "flask", *command.split(), cwd=self._folder, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def newest_script(self) -> str:
        scripts = (self._folder / "migrations" / "versions").glob("*.py")
        return max(scripts, key=lambda script: script.stat().st_mtime_ns).read_text()


@pytest.fixture(params=first_of(["postgres_url", "sqlite_url"], "Flask-Migrate works alike on both"))
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def host(database_url: str, tmp_path: Path) -> Host:
    host = Host(database_url, tmp_path)
    for command in ("db init", "db migrate", "db upgrade"):
        host.flask(command)
    return host


def test_both_migration_histories_are_independent(host: Host) -> None:
    """The host's autogenerate ignores telemetry's additions, and its migrations ignore our history."""
    host.flask("telemetry db upgrade")

    host.flask("db migrate", WITH_PHONE="1")
    written = [line.strip() for line in host.newest_script().splitlines() if "op." in line]
    assert [line for line in written if "alter_table" not in line] == [
        "batch_op.add_column(sa.Column('phone', sa.String(length=40), nullable=True))",
        "batch_op.drop_column('phone')",
    ]
    host.flask("db upgrade", WITH_PHONE="1")
    host.flask("db downgrade")
    host.flask("telemetry db current")

    host.flask("telemetry db downgrade --yes")
    host.flask("db upgrade", WITH_PHONE="1")
    host.flask("db check", WITH_PHONE="1")
