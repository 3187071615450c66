"""Commands of the app: `flask --app examples.screener.wsgi screener init-db` and `… seed`."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import AppGroup

from .auth import ADMIN_EMAIL, PASSWORD, USER_EMAIL, seed_users
from .models import db

cli = AppGroup("screener", help="Set up the screener.")


@cli.command("init-db")
def init_db_command() -> None:
    """Create missing tables."""
    db.create_all()
    click.echo(f"The tables are there: {current_app.config['SQLALCHEMY_DATABASE_URI'].split('@')[-1]}")


@cli.command("seed")
@click.option("--password", default=PASSWORD, show_default=True, help="The password of both users.")
def seed_command(password: str) -> None:
    """Add a user and an admin, unless they exist."""
    seed_users(password)
    click.echo(f"Sign in as {USER_EMAIL} or {ADMIN_EMAIL}.")
