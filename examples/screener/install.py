"""Set up the database: ``python -m examples.screener.install``, as often as you like.

It creates the screener's tables and users, and telemetry's additions. If DASHBOARDS_PASSWORD is set, it
creates the role with which dashboards read PostgreSQL, and if EXPORTER_PASSWORD is set, that of
postgres_exporter. SCREENER_PASSWORD is the password of new users.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout

from flask import Flask
from flask.cli import FlaskGroup

from .app import create_app, init_db
from .auth import PASSWORD, seed_users
from .models import db

DASHBOARDS = "grafana"
"""The role of dashboards."""
EXPORTER = "postgres_exporter"
"""The role of postgres_exporter: it reads the statistics of the server, and no data."""
CREATE_EXPORTER = f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{EXPORTER}') THEN CREATE ROLE {EXPORTER} LOGIN; END IF;
END $$;
GRANT pg_monitor TO {EXPORTER};
"""


def main() -> None:
    app = create_app()
    init_db(app)
    with app.app_context():
        seed_users(os.environ.get("SCREENER_PASSWORD") or PASSWORD)
    _telemetry(app, "db", "upgrade", "--with-base-tables")
    if password := os.environ.get("DASHBOARDS_PASSWORD"):
        printed = io.StringIO()
        with redirect_stdout(printed):
            _telemetry(app, "db", "role", "--name", DASHBOARDS)
        _create_role(app, DASHBOARDS, printed.getvalue(), password)
    if password := os.environ.get("EXPORTER_PASSWORD"):
        _create_role(app, EXPORTER, CREATE_EXPORTER, password)


def _create_role(app: Flask, name: str, statements: str, password: str) -> None:
    """Create a role, or change what it may and its password."""
    literal = password.replace("'", "''")
    with app.app_context(), db.engine.begin() as connection:
        driver = connection.connection.cursor()
        driver.execute(statements)
        driver.execute(f"ALTER ROLE {name} PASSWORD '{literal}'")


def _telemetry(app: Flask, *words: str) -> None:
    FlaskGroup(create_app=lambda: app).main(["telemetry", *words], standalone_mode=False)


if __name__ == "__main__":
    main()
