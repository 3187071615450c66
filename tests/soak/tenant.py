"""One of the applications that share a database server and a spool, with its own schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.sql.schema import migrate
from telemetry.settings import Settings
from tests.soak.worker import USERS, user_of

NAMES: Final = ("tenant_a", "tenant_b")


class Tenant:
    """An application's settings, rows and analyses."""

    def __init__(self, name: str, url: str, spool: Path, numbers: Sequence[int]) -> None:
        self.name = name
        self.settings = Settings(
            database_url=f"{url}?options=-csearch_path%3D{name}", spool_dir=spool, hmac_key="soak"
        )
        self.numbers = numbers
        self.engine: Engine = sa.create_engine(self.settings.database_url, poolclass=sa.NullPool)

    @property
    def folder(self) -> Path:
        """The folder in the spool for its database."""
        return self.settings.spool_dir / self.settings.spool_key()

    def rows(self, query: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query)).mappings()]

    def make(self) -> None:
        """Create its schema and tables, with its users and analyses."""
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {self.name}"))
        migrate.upgrade(self.settings.database_url, with_base_tables=True)
        users = [
            {"id": n, "email": f"{n}@example.com", "password_hash": "x", "name": "n"}
            for n in range(1, USERS + 1)
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.text(_USER), users)
            connection.execute(sa.text(_ANALYSIS), [{"id": n, "user_id": user_of(n)} for n in self.numbers])


_NOW: Final = "timezone('utc', now())"
_USER: Final = f"""INSERT INTO users (id, email, password_hash, name, created_at)
    VALUES (:id, :email, :password_hash, :name, {_NOW})"""
_ANALYSIS: Final = f"""INSERT INTO analyses (id, user_id, num_candidates, num_criteria, cost_usd, created_at)
    VALUES (:id, :user_id, 2, 0, 1, {_NOW})"""
