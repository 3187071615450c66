"""Set up the database: the screener's tables and users, and telemetry's additions."""

from __future__ import annotations

from flask.cli import FlaskGroup

from examples.screener.app import create_app, init_db
from examples.screener.auth import seed_users


def main() -> None:
    app = create_app()
    init_db(app)
    with app.app_context():
        seed_users()
    FlaskGroup(create_app=lambda: app).main(["telemetry", "db", "upgrade", "--with-base-tables"])


if __name__ == "__main__":
    main()
