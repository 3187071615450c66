"""Jobs of the past, and of today, which are written into SQL rather than done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa

from exporters.sql.schema.tables import runs, stage_usage, system_health_log

DOLLAR: Final = 10**12
"""In pico-dollars."""


def zone() -> str:
    """Return a time zone in which it is about noon: no day ends while a test runs."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


class History:
    """Writes rows of jobs, and takes them away again."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, jobs: int, *, days_ago: float = 0, **known: Any) -> list[str]:
        """Add completed jobs that began an hour ago, or days before that; return their ids.

        Args:
            jobs: how many.
            days_ago: how many days before.
            known: columns with other values than usual.
        """
        began = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days_ago, minutes=5)
        row = {
            "kind": "analysis",
            "source": "spans",
            "synthetic": False,
            "version": 1,
            "status": "completed",
            "started_at": began,
            "ended_at": began + timedelta(seconds=10),
            "seen_at": began,
            "duration_us": 10_000_000,
            "candidates": 5,
            "cost_pico": 0,
            "cost_complete": True,
        }
        ids = [uuid4().hex for _ in range(jobs)]
        used = {
            "stage": "ranking",
            "operation": "chat",
            "model": "gpt-4o-mini",
            "service_tier": "default",
            "price_version": "of the past",
            "cost_pico": known.get("cost_pico", 0),
        }
        with self._engine.begin() as connection:
            connection.execute(runs.insert(), [row | known | {"run_id": run_id} for run_id in ids])
            connection.execute(stage_usage.insert(), [used | {"run_id": run_id} for run_id in ids])
        return ids

    def remove(self, ids: Iterable[str]) -> None:
        """Take jobs away."""
        with self._engine.begin() as connection:
            for table in (stage_usage, runs):
                connection.execute(table.delete().where(table.c.run_id.in_(list(ids))))

    def end_day(self, condition: sa.ColumnElement[bool]) -> None:
        """Move jobs to forty days ago: what they add to the figures of today ends, as at midnight."""
        long = timedelta(days=40)
        moved = {"started_at": runs.c.started_at - long, "ended_at": runs.c.ended_at - long}
        with self._engine.begin() as connection:
            connection.execute(runs.update().where(condition).values(moved))

    def log_day(self, day: date) -> None:
        """Write a day into the log of the daily check."""
        with self._engine.begin() as connection:
            connection.execute(system_health_log.insert().values(log_date=day))

    def execute(self, *statements: str) -> None:
        """Execute statements in one transaction."""
        with self._engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
