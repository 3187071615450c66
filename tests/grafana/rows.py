"""The rows of the tables beside what panels show of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.rows import tuple_row

from grafana.parts.expansion import Moment, expand
from tests.grafana.dashboards import ALL, sql_targets

Row = dict[str, Any]
PICO = 10**12
near: Callable[[Any], Any] = partial(pytest.approx, rel=1e-9)
DAYS = 100
"""So few that panels show days, not weeks."""


class Tables:
    """The rows of the tables that began in the last 100 days."""

    def __init__(self, owner: psycopg.Connection[Row], reader: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._owner = owner
        self._reader: psycopg.Connection[tuple[Any, ...]] | psycopg.Cursor[tuple[Any, ...]] = reader
        self.moment = Moment.last(DAYS, ALL)
        self.start, self.end = (time.replace(tzinfo=None) for time in (self.moment.start, self.moment.end))
        self.all_runs = self.rows("telemetry_runs")
        self.runs = [run for run in self.all_runs if self.start <= run["started_at"] <= self.end]
        self.jobs = [run for run in self.runs if run["kind"] == "analysis"]
        self.by_id = {run["run_id"]: run for run in self.runs}

    @contextmanager
    def changed(self, *statements: str) -> Iterator[None]:
        """Show what panels show after statements, which are undone at the end."""
        reader = self._reader
        with self._owner.transaction(force_rollback=True):
            for statement in statements:
                self._owner.execute(statement.encode())
            self._reader = self._owner.cursor(row_factory=tuple_row)
            try:
                yield
            finally:
                self._reader = reader

    def rows(self, table: str) -> list[Row]:
        return self._owner.execute(f"SELECT * FROM {table}".encode()).fetchall()

    def parts(self, table: str) -> list[Row]:
        """Return the rows of these runs, with their run as ``run``."""
        found = [row for row in self.rows(table) if row["run_id"] in self.by_id]
        return [{**row, "run": self.by_id[row["run_id"]]} for row in found]

    def shown(self, uid: str, title: str, days: int = DAYS, **chosen: str) -> list[tuple[Any, ...]]:
        """Return what a panel shows."""
        (target,) = [each for each in sql_targets() if (each.uid, each.panel["title"]) == (uid, title)]
        moment = Moment(
            self.moment.end - timedelta(days=days), self.moment.end, {**self.moment.values, **chosen}
        )
        return self.asked(expand(target.sql, moment))

    def asked(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._reader.execute(query.encode()).fetchall()
