"""Set up the database: ``python -m examples.screener.install``, as often as you like.

It creates the screener's tables and users, telemetry's additions and, if DASHBOARDS_PASSWORD is set, the role
with which dashboards read PostgreSQL. SCREENER_PASSWORD is the password of new users.
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

ROLE = "grafana"
"""The role of dashboards."""


def main() -> None:
    app = create_app()
    init_db(app)
    with app.app_context():
        seed_users(os.environ.get("SCREENER_PASSWORD") or PASSWORD)
    _telemetry(app, "db", "upgrade", "--with-base-tables")
    if password := os.environ.get("DASHBOARDS_PASSWORD"):
        _create_role(app, password)


def _create_role(app: Flask, password: str) -> None:
    """Create the role, or change what it may and its password."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        _telemetry(app, "db", "role", "--name", ROLE)
    literal = password.replace("'", "''")
    with app.app_context(), db.engine.begin() as connection:
        driver = connection.connection.cursor()
        driver.execute(printed.getvalue())
        driver.execute(f"ALTER ROLE {ROLE} PASSWORD '{literal}'")


def _telemetry(app: Flask, *words: str) -> None:
    FlaskGroup(create_app=lambda: app).main(["telemetry", *words], standalone_mode=False)


if __name__ == "__main__":
    main()
